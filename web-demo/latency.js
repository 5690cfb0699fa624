// Latencies of the last N seconds: one histogram a second, in one typed array.  Pure; times in ms.
//
// Buckets grow by 5 %, so a percentile is at most 5 % off; recording is one logarithm.

const LOWEST = 0.05;
const GROWTH = Math.log(1.05);
const BUCKETS = 256; // up to 0.05 × 1.05^255 ms: over three hours

const bucketOf = (ms) => (ms <= LOWEST ? 0
  : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / LOWEST) / GROWTH)));
const valueOf = (bucket) => LOWEST * Math.exp(bucket * GROWTH);

export function createLatencyWindow(seconds = 60) {
  const cells = new Uint32Array(seconds * BUCKETS);
  const counts = new Uint32Array(seconds);
  const labels = new Float64Array(seconds).fill(-1); // which second a row has
  const sum = new Uint32Array(BUCKETS);

  const rowOf = (second) => {
    const row = second % seconds;
    if (labels[row] !== second) {
      cells.fill(0, row * BUCKETS, (row + 1) * BUCKETS);
      counts[row] = 0;
      labels[row] = second;
    }
    return row;
  };

  return {
    record(now, latency) {
      const row = rowOf(Math.floor(now / 1000));
      counts[row] += 1;
      cells[row * BUCKETS + bucketOf(latency)] += 1;
    },

    // One value a second, oldest first, the running second left out; null where nothing arrived.
    series(now) {
      const end = Math.floor(now / 1000);
      const result = { seconds: [], p50: [], p99: [], count: [] };
      for (let second = end - seconds + 1; second < end; second += 1) {
        const row = ((second % seconds) + seconds) % seconds;
        const n = labels[row] === second ? counts[row] : 0;
        const part = cells.subarray(row * BUCKETS, (row + 1) * BUCKETS);
        result.seconds.push(second - end);
        result.count.push(n);
        result.p50.push(n ? percentile(part, n, 0.5) : null);
        result.p99.push(n ? percentile(part, n, 0.99) : null);
      }
      return result;
    },

    // Over the last `span` whole seconds.
    summary(now, span = seconds - 1) {
      const end = Math.floor(now / 1000);
      let n = 0;
      sum.fill(0);
      for (let row = 0; row < seconds; row += 1) {
        if (labels[row] < end - span || labels[row] >= end || labels[row] < 0) continue;
        n += counts[row];
        for (let i = 0; i < BUCKETS; i += 1) sum[i] += cells[row * BUCKETS + i];
      }
      return {
        count: n,
        p50: n ? percentile(sum, n, 0.5) : null,
        p99: n ? percentile(sum, n, 0.99) : null,
      };
    },
  };
}

function percentile(part, n, share) {
  const rank = Math.max(1, Math.ceil(n * share));
  let seen = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    seen += part[bucket];
    if (seen >= rank) return valueOf(bucket);
  }
  return valueOf(BUCKETS - 1);
}

// Numbers that a publisher counts up by one, with no history behind them: what was missed is told
// by the next one that arrives.  A smaller number is a publisher that began anew.
export function createSequence() {
  return { last: null, received: 0, missed: 0 };
}

export function arrived(sequence, number) {
  sequence.received += 1;
  if (sequence.last !== null && number > sequence.last) sequence.missed += number - sequence.last - 1;
  sequence.last = number;
}

// The publisher's clock may be another machine's.  No message can arrive before it was sent: the
// most negative difference is the least that the clocks are apart.
export function createClockGuard() {
  let ahead = 0;
  return {
    latency(sent, now) {
      ahead = Math.max(ahead, sent - now);
      return now - sent + ahead;
    },
    get correction() { return ahead; },
  };
}
