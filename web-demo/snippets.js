// What to type, with the names of this very hub in it, and buttons that copy it.

export function publishCommand(setup, channel) {
  const port = setup.redis_port ? ` -p ${setup.redis_port}` : '';
  return `redis-cli${port} PUBLISH wh:ch:${channel} '{"symbol":"ACME","price":42}'`;
}

export function javascript(url, channel) {
  return `// npm install centrifuge
import { Centrifuge } from 'centrifuge';

const client = new Centrifuge(
  '${url}',
);
const sub = client.newSubscription('${channel}');
sub.on('publication', (p) => console.log(p.data));
sub.subscribe();
client.connect();`;
}

export function python(url, channel) {
  return `# pip install centrifuge-python
import asyncio
from centrifuge import Client, SubscriptionEventHandler

class Ticker(SubscriptionEventHandler):
    async def on_publication(self, context):
        print(context.pub.data)

URL = "${url}"

async def main():
    client = Client(URL)
    ticker = client.new_subscription("${channel}", Ticker())
    await client.connect()
    await ticker.subscribe()
    await asyncio.Future()

asyncio.run(main())`;
}

// Two commands in one frame: that is the whole protocol.
export function shell(url, channel) {
  return `# no SDK: the protocol by hand
npx wscat -c ${url} -w 30 \\
  -x '{"id":1,"connect":{}}
{"id":2,"subscribe":{"channel":"${channel}"}}'`;
}

export function enableCopyButtons(root) {
  for (const button of root.querySelectorAll('button[data-copies]')) {
    const label = button.firstChild;
    let timer = 0;
    button.addEventListener('click', async () => {
      const isCopied = await copy(root.getElementById(button.dataset.copies));
      label.data = isCopied ? 'Copied' : 'Press Ctrl-C';
      clearTimeout(timer);
      timer = setTimeout(() => { label.data = 'Copy'; }, 2000);
    });
  }
}

// The clipboard is there on https and on this machine only; elsewhere the text is selected.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}
