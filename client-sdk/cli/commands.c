/* The tables.  Rows stand between clang-format off and on, which would tear them apart. */
#include "client-sdk/cli/commands.h"

#define AT(member) .offset = offsetof(struct settings, member)
#define OPTIONS(table)                                                                             \
    {                                                                                              \
        (table), sizeof(table) / sizeof((table)[0])                                                \
    }

static const char *const encodings[] = {"json", "msgpack", "protobuf", NULL};
static const char *const any_encoding[] = {"auto", "json", "msgpack", "protobuf", NULL};
static const char *const sides[] = {"auto", "command", "reply", NULL};
static const char *const inputs[] = {"auto", "hex", "base64", "raw", NULL};
static const char *const shells[] = {"bash", "zsh", NULL};
static const char *const context_verbs[] = {"add", "list", "use", "show", "rm", NULL};
static const char *const svc_verbs[] = {"ls", "info", "stats", NULL};

/* clang-format off */
static const struct cli_option connection_rows[] = {
    {"url", 'u', CLI_TEXT, 0, "URL", AT(url),
     .help = "The server: ws:// or wss://, several comma separated; \"host:port\" is enough for a hub. "
             "Default: WIREHUB_URL, else ws://localhost:8000/connection/websocket."},
    {"token", 't', CLI_TEXT, CLI_SECRET, "JWT", AT(token),
     .help = "Connection token. Others on this machine can read it in the list of processes: better "
             "WIREHUB_TOKEN, --token-file or a context."},
    {"token-file", 0, CLI_TEXT, CLI_FILE, "FILE", AT(token_file),
     .help = "Read the token from FILE, again whenever a new one is needed."},
    {"token-cmd", 0, CLI_TEXT, 0, "COMMAND", AT(token_cmd),
     .help = "Run COMMAND in a shell and take the first line it prints as token, again whenever a "
             "new one is needed."},
    {"header", 'H', CLI_LIST, 0, "NAME:VALUE", AT(headers),
     .help = "A header of the upgrade request; may be repeated."},
    {"encoding", 'e', CLI_CHOICE, 0, "ENCODING", AT(encoding), "json", .choices = encodings,
     .help = "json, msgpack (Wirehub only) or protobuf."},
    {"ca", 0, CLI_TEXT, CLI_FILE, "FILE", AT(ca),
     .help = "Trust the authorities in FILE (PEM) instead of the system's."},
    {"cert", 0, CLI_TEXT, CLI_FILE, "FILE", AT(cert),
     .help = "Certificate of this client (PEM)."},
    {"key", 0, CLI_TEXT, CLI_FILE, "FILE", AT(tls_key),
     .help = "Private key of that certificate (PEM)."},
    {"insecure", 0, CLI_FLAG, 0, NULL, AT(insecure),
     .help = "Accept any certificate, of anybody. For a machine of your own only."},
    {"proxy", 0, CLI_TEXT, 0, "URL", AT(proxy),
     .help = "HTTP proxy; \"\" for none. Default: http_proxy and no_proxy of the environment."},
    {"timeout", 0, CLI_DURATION, 0, "TIME", AT(timeout_ms), "5s",
     .help = "For the connection and for each call."},
    {"no-reconnect", 0, CLI_FLAG, 0, NULL, AT(no_reconnect),
     .help = "End when the connection is lost."},
    {"context", 0, CLI_TEXT, 0, "NAME", AT(context),
     .help = "Use the options stored as NAME (see wh help context) and not the environment's."},
};

static const struct cli_option output_rows[] = {
    {"json", 0, CLI_FLAG, 0, NULL, AT(json),
     .help = "One JSON object a line; what is no JSON itself is in base64 as data_b64."},
    {"pretty", 0, CLI_FLAG, 0, NULL, AT(pretty),
     .help = "Spread JSON payloads over several lines."},
    {"quiet", 'q', CLI_FLAG, 0, NULL, AT(quiet),
     .help = "Nothing on standard error but the reason of a failure."},
    {"verbose", 'v', CLI_COUNT, 0, NULL, AT(verbose),
     .help = "Say more on standard error; twice: every frame, without tokens."},
    {"help", 'h', CLI_FLAG, 0, NULL, AT(help),
     .help = "Explain, and do nothing."},
};

static const struct cli_option sub_rows[] = {
    {"count", 'n', CLI_UNSIGNED, 0, "COUNT", AT(count), .min = 1,
     .help = "End after so many publications."},
    {"wait", 'w', CLI_DURATION, 0, "TIME", AT(wait_ms),
     .help = "End with status 3 when TIME has passed."},
    {"since", 0, CLI_TEXT, 0, "OFFSET:EPOCH", AT(since),
     .help = "Begin behind this position: what was published since comes first."},
    {"recover", 0, CLI_FLAG, 0, NULL, AT(recover),
     .help = "Recover what is missed while the connection is away; end with status 6 when that "
             "is not possible."},
    {"join-leave", 0, CLI_FLAG, 0, NULL, AT(join_leave),
     .help = "Show who comes and who goes."},
    {"presence", 0, CLI_FLAG, 0, NULL, AT(presence),
     .help = "Show who is there, once subscribed."},
    {"raw", 0, CLI_FLAG, 0, NULL, AT(raw),
     .help = "Payloads only, as they came, each with a line feed."},
    {"format", 'f', CLI_TEXT, 0, "FORMAT", AT(format),
     .help = "Print this for each publication: %t time, %c channel, %o offset, %d payload, %l its "
             "length, %u user and %i connection of the publisher, %% a percent sign; \\n \\t \\\\."},
    {"channel-token", 0, CLI_TEXT, CLI_SECRET, "JWT", AT(channel_token),
     .help = "Subscription token, when CHANNEL is one and needs it."},
};

static const struct cli_option pub_rows[] = {
    {"lines", 0, CLI_FLAG, 0, NULL, AT(lines),
     .help = "Each line of standard input is a publication; empty ones are skipped."},
    {"string", 0, CLI_FLAG, 0, NULL, AT(as_string),
     .help = "The payload is text: make a JSON string of it."},
    {"bytes", 0, CLI_FLAG, 0, NULL, AT(as_bytes),
     .help = "The payload is bytes, not JSON; needs -e protobuf or msgpack."},
    {"count", 0, CLI_UNSIGNED, 0, "COUNT", AT(count), "1", .min = 1,
     .help = "Publish so many times."},
    {"rate", 0, CLI_RATE, 0, "RATE", AT(rate),
     .help = "At most so many each second."},
    {"template", 0, CLI_TEXT, 0, "TEXT", AT(template_text),
     .help = "Make the payload of TEXT: {{i}} counts from 1, {{ts}} is the time in ms, {{time}} the "
             "same as text, {{uuid}} and {{rand}} differ each time."},
};

static const struct cli_option rpc_rows[] = {
    {"string", 0, CLI_FLAG, 0, NULL, AT(as_string),
     .help = "The parameter is text: make a JSON string of it."},
    {"bytes", 0, CLI_FLAG, 0, NULL, AT(as_bytes),
     .help = "The parameter is bytes, not JSON; needs -e protobuf or msgpack."},
    {"repeat", 0, CLI_UNSIGNED, 0, "COUNT", AT(repeat), "1", .min = 1,
     .help = "Call so many times, one after another."},
    {"timing", 0, CLI_FLAG, 0, NULL, AT(timing),
     .help = "Say on standard error how long each answer took."},
};

static const struct cli_option history_rows[] = {
    {"limit", 0, CLI_SIGNED, 0, "COUNT", AT(limit), "100",
     .help = "At most so many; 0 for the position only, -1 for what the server gives."},
    {"reverse", 0, CLI_FLAG, 0, NULL, AT(reverse),
     .help = "Newest first."},
    {"since", 0, CLI_TEXT, 0, "OFFSET:EPOCH", AT(since),
     .help = "Begin behind this position, or before it when reversed."},
    {"raw", 0, CLI_FLAG, 0, NULL, AT(raw),
     .help = "Payloads only, as they came, each with a line feed."},
    {"format", 'f', CLI_TEXT, 0, "FORMAT", AT(format),
     .help = "As for sub."},
};

static const struct cli_option ping_rows[] = {
    {"count", 'c', CLI_UNSIGNED, 0, "COUNT", AT(count), .min = 1,
     .help = "End after so many."},
    {"interval", 'i', CLI_DURATION, 0, "TIME", AT(interval_ms), "1s",
     .help = "From one to the next."},
};

static const struct cli_option bench_rows[] = {
    {"clients", 0, CLI_UNSIGNED, 0, "COUNT", AT(clients), "10", 1, 10000,
     .help = "Connections that subscribe; one more publishes."},
    {"subs", 0, CLI_UNSIGNED, 0, "COUNT", AT(subs), "1", 1, 1000,
     .help = "Channels, to all of which each of them subscribes."},
    {"msgs", 0, CLI_UNSIGNED, 0, "COUNT", AT(messages), "1000", 1, 100000000,
     .help = "Publications, to the channels in turn."},
    {"size", 0, CLI_SIZE, 0, "BYTES", AT(size), "128",
     .help = "Of each payload."},
    {"rate", 0, CLI_RATE, 0, "RATE", AT(rate),
     .help = "Publications each second; without it as many as the server confirms."},
    {"channel", 0, CLI_TEXT, 0, "PREFIX", AT(channel), "bench",
     .help = "Names of the channels: PREFIX, a random part and a number."},
};

static const struct cli_option gen_token_rows[] = {
    {"user", 0, CLI_TEXT, 0, "ID", AT(user),
     .help = "The user; without it the client is anonymous."},
    {"ttl", 0, CLI_DURATION, 0, "TIME", AT(ttl_ms), "1h",
     .help = "How long it is good; 0 for ever."},
    {"info", 0, CLI_TEXT, 0, "JSON", AT(info),
     .help = "What others see of this client, in presence and joins."},
    {"channel", 0, CLI_TEXT, 0, "CHANNEL", AT(channel),
     .help = "Make a subscription token for CHANNEL instead of a connection token."},
    {"claim", 0, CLI_LIST, 0, "NAME=VALUE", AT(claims),
     .help = "Any other claim; VALUE is JSON if it reads as JSON, else a string. May be repeated."},
    {"secret-file", 0, CLI_TEXT, CLI_FILE, "FILE", AT(secret_file),
     .help = "The shared secret for HS256; a line feed at its end is not part of it."},
    {"key", 0, CLI_TEXT, CLI_FILE, "FILE", AT(key_file),
     .help = "The private key (PEM): RSA for RS256, EC P-256 for ES256."},
    {"alg", 0, CLI_TEXT, 0, "NAME", AT(algorithm),
     .help = "HS256 (or HS384, HS512), RS256 (RS384, RS512), ES256 (...). Without it the key "
             "decides."},
};

static const struct cli_option check_token_rows[] = {
    {"secret-file", 0, CLI_TEXT, CLI_FILE, "FILE", AT(secret_file),
     .help = "Check the signature with this shared secret."},
    {"key", 0, CLI_TEXT, CLI_FILE, "FILE", AT(key_file),
     .help = "Check the signature with this key (PEM), public or private, RSA or EC."},
};

static const struct cli_option decode_rows[] = {
    {"encoding", 'e', CLI_CHOICE, 0, "ENCODING", AT(from), "auto", .choices = any_encoding,
     .help = "What the frame is: auto, json, msgpack or protobuf."},
    {"as", 0, CLI_CHOICE, 0, "SIDE", AT(side), "auto", .choices = sides,
     .help = "Who sent it: command (a client), reply (the server) or auto: what reads better."},
    {"input", 0, CLI_CHOICE, 0, "FORM", AT(input), "auto", .choices = inputs,
     .help = "How it is written down: hex, base64, raw (as it is) or auto."},
};
/* clang-format on */

const struct cli_options cli_connection_options = OPTIONS(connection_rows);
const struct cli_options cli_output_options = OPTIONS(output_rows);

/* connection_given has a bit for each row. */
_Static_assert(sizeof(connection_rows) / sizeof(connection_rows[0]) <= 32, "too many rows");

const struct cli_command cli_commands[] = {
    {
        .name = "sub",
        .arguments = "CHANNEL...",
        .arguments_min = 1,
        .arguments_max = CLI_CHANNELS_MAX,
        .summary = "print publications until ^C",
        .details =
            "Publications are on standard output, one a line: time, channel, offset (where the "
            "channel keeps history), payload. What happens to the connection is on standard "
            "error.\n\n"
            "A lost connection is found again by itself; what was missed meanwhile is recovered "
            "where the server does so, or --recover asks for it. At the end --recover tells the "
            "position to go on from.",
        .options = OPTIONS(sub_rows),
        .examples = {{"sub news", "everything in news, as it comes"},
                     {"sub -n 1 -w 10s --raw orders:live#42", "one payload, or status 3"},
                     {"sub --recover --since 17:xKdQ orders:live#42", "go on where it ended"},
                     {"sub -f '%t %o %d' news market:ticker", "lines of your own"},
                     {"--json sub news | jq .data", "for programs"}},
        .connects = true,
        .run = run_sub,
    },
    {
        .name = "pub",
        .arguments = "CHANNEL [DATA]",
        .arguments_min = 1,
        .arguments_max = 2,
        .summary = "publish an argument, standard input, or its lines",
        .details = "DATA is JSON. Without DATA (or with -) all of standard input is one payload. "
                   "The status says whether the server took it; after a lost connection or a "
                   "time-out it may have happened nevertheless.",
        .options = OPTIONS(pub_rows),
        .examples = {{"pub news '{\"title\":\"hello\"}'", "one publication"},
                     {"pub --string news hello", "text, without quoting quotes"},
                     {"pub --lines --rate 10 news < events.jsonl", "a file, ten lines a second"},
                     {"pub --count 100 --template '{\"n\":{{i}},\"at\":{{ts}}}' news",
                      "a hundred that differ"}},
        .connects = true,
        .run = run_pub,
    },
    {
        .name = "rpc",
        .arguments = "METHOD [DATA]",
        .arguments_min = 1,
        .arguments_max = 2,
        .summary = "call a method and print its result",
        .details = "DATA is JSON; - reads it from standard input. An error of the service is on "
                   "standard error with its code, and the status is 1.",
        .options = OPTIONS(rpc_rows),
        .examples = {{"rpc products.v1.list", "what is for sale"},
                     {"rpc --pretty orders.v1.get '{\"order\":\"01a2…\"}'", "an order, readable"},
                     {"rpc --repeat 100 --timing products.v1.list > /dev/null",
                      "how long answers take"}},
        .connects = true,
        .run = run_rpc,
    },
    {
        .name = "presence",
        .arguments = "CHANNEL",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary = "who is in a channel",
        .details = "One connection a line: user, id of the connection, what is known of it.",
        .examples = {{"presence demo:room", "who is there now"}},
        .connects = true,
        .run = run_presence,
    },
    {
        .name = "stats",
        .arguments = "CHANNEL",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary = "how many are in a channel",
        .examples = {{"stats demo:room", "connections and users"}},
        .connects = true,
        .run = run_stats,
    },
    {
        .name = "history",
        .arguments = "CHANNEL",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary = "what was published in a channel",
        .details = "The position of the channel's end is on standard error; sub --since goes on "
                   "from it.",
        .options = OPTIONS(history_rows),
        .examples = {{"history --reverse --limit 3 orders:live#42", "the last three"},
                     {"history --limit 0 orders:live#42", "the position only"}},
        .connects = true,
        .run = run_history,
    },
    {
        .name = "ping",
        .arguments = "",
        .summary = "how long a frame takes to the server and back",
        .details = "A WebSocket ping, which the server answers before anything else; at the end "
                   "a summary.",
        .options = OPTIONS(ping_rows),
        .examples = {{"ping -c 5 -i 200ms", "five, five a second"}},
        .connects = true,
        .run = run_ping,
    },
    {
        .name = "watch",
        .arguments = "[CHANNEL...]",
        .arguments_max = CLI_CHANNELS_MAX,
        .summary = "everything that happens to a connection, live",
        .details = "States, reasons, reconnecting, recovery, messages, and the channels that the "
                   "server subscribes this client to; of CHANNEL also joins and leaves. Goes on "
                   "trying while the server is away.",
        .examples = {{"watch", "then restart the hub in another window"},
                     {"--json watch demo:room", "as objects"}},
        .connects = true,
        .run = run_watch,
    },
    {
        .name = "bench",
        .arguments = "",
        .summary = "connect many, publish, measure",
        .details = "Each publication goes to every one of the connections. Times are from the "
                   "call of publish to the callback of the subscriber, in this one process, which "
                   "is part of what is measured. The status is 6 when a publication was lost.",
        .options = OPTIONS(bench_rows),
        .examples = {{"bench --clients 100 --msgs 10000", "fan-out to a hundred"},
                     {"bench --clients 1 --rate 100 --msgs 1000", "latency without load"}},
        .connects = true,
        .run = run_bench,
    },
    {
        .name = "gen-token",
        .arguments = "",
        .summary = "make a connection or subscription token",
        .details = "Keys come from files: arguments are visible to everybody on the machine.",
        .options = OPTIONS(gen_token_rows),
        .examples = {{"gen-token --secret-file secret --user 42", "a connection token for an hour"},
                     {"gen-token --key ec.pem --user 42 --claim 'roles=[\"admin\"]'",
                      "ES256, with roles"},
                     {"gen-token --secret-file secret --user 42 --channel '$orders:42'",
                      "for one channel"}},
        .run = run_gen_token,
    },
    {
        .name = "check-token",
        .arguments = "[JWT]",
        .arguments_max = 1,
        .summary = "what a token says, and whether it is good",
        .details = "Without JWT it is read from standard input. Status 0: the signature is right "
                   "and the token can be used now; 5: not so; 1: unverified, for want of a key.",
        .options = OPTIONS(check_token_rows),
        .examples = {{"check-token --secret-file secret < token.jwt",
                      "whether it is good, and until when"}},
        .run = run_check_token,
    },
    {
        .name = "decode",
        .arguments = "[FRAME]",
        .arguments_max = 1,
        .summary = "frames in JSON, MessagePack or Protobuf as text",
        .details = "FRAME is hex, base64 or JSON; without it standard input is read, raw too. One "
                   "line for each message in it, as JSON whatever it was.",
        .options = OPTIONS(decode_rows),
        .examples = {{"decode -e protobuf '07 08 01 22 03 0a 01 78'", "bytes out of a dump"},
                     {"decode --as command '{\"id\":1,\"connect\":{}}'", "what the server reads"}},
        .run = run_decode,
    },
    {
        .name = "context",
        .arguments = "add|list|use|show|rm [NAME]",
        .arguments_min = 1,
        .arguments_max = 2,
        .words = context_verbs,
        .summary = "keep options of the connection under a name",
        .details = "add stores the options of the connection that are given with it, in "
                   "$XDG_CONFIG_HOME/wh, readable for you alone; the first one is used from then "
                   "on. use chooses another; --context does so once.\n\n"
                   "Options of the command line are stronger than WIREHUB_URL and WIREHUB_TOKEN, "
                   "and these than the context in use. With --context the environment is not "
                   "read.",
        .examples = {{"context add shop -u wss://shop.example --token-file ~/.shop-token", "store"},
                     {"context use shop", "from now on"},
                     {"context show", "which is in use, and what it says"}},
        .connects = true,
        .run = run_context,
    },
    {
        .name = "svc",
        .arguments = "ls|info|stats [SERVICE]",
        .arguments_min = 1,
        .arguments_max = 2,
        .words = svc_verbs,
        .summary = "the services behind a hub",
        .details = "ls lists those that have announced themselves and asks each for a sign of "
                   "life; info shows the methods of one and who may call them; stats how often "
                   "they were called. For tokens with the role admin.",
        .examples = {{"svc ls", "which there are, and whether they answer"},
                     {"svc stats orders", "calls, refusals, errors, mean times"}},
        .connects = true,
        .run = run_svc,
    },
    {
        .name = "completion",
        .arguments = "bash|zsh",
        .arguments_min = 1,
        .arguments_max = 1,
        .words = shells,
        .summary = "a script that lets the shell complete words",
        .examples = {{"completion bash > ~/.local/share/bash-completion/completions/wh",
                      "for bash"},
                     {"completion zsh > ~/.zfunc/_wh", "for zsh"}},
        .run = run_completion,
    },
    {
        .name = "version",
        .arguments = "",
        .summary = "versions of wh and of libwirehub",
        .run = run_version,
    },
    {
        .name = "help",
        .arguments = "[COMMAND]",
        .arguments_max = 1,
        .summary = "explain wh, or one command",
        .run = run_help,
    },
};
const size_t cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);
