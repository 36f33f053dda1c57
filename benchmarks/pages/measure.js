// What every contender is measured by: the same work, asked for in the way that its library has for it.

const IN_FLIGHT = 64;

/** Keeps 64 calls in flight for some time. Returns how many were answered, and the time; each answer must be right.
 * @param add - makes a call: adds two numbers. */
async function measureCalls(add, ms) {
  const begun = performance.now();
  let answers = 0;
  const work = async (seed) => {
    for (let number = seed; performance.now() - begun < ms; number++) {
      if ((await add(number, 1)) !== number + 1) throw new Error("a wrong sum");
      answers++;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, seed) => work(seed)));
  return [answers, performance.now() - begun];
}

/** Reads a stream of small items to its end. Returns how many came, and the time; each must be the right one.
 * @param read - reads so many items, and calls a function with each. */
async function measureStream(read, count) {
  const begun = performance.now();
  let next = 0;
  await read(count, ({ at, value }) => {
    if (at !== next || value !== at / 2) throw new Error("a wrong item");
    next++;
  });
  if (next !== count) throw new Error(`${next} of ${count} items came`);
  return [count, performance.now() - begun];
}

/** Lets the benchmark measure a contender. */
export function offer({ add, read }) {
  globalThis.calls = (ms) => measureCalls(add, ms);
  globalThis.stream = (count) => measureStream(read, count);
}

/** What the benchmark has put behind the `#` of the page's address. */
export const given = JSON.parse(decodeURIComponent(location.hash.slice(1)));
