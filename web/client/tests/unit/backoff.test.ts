import { expect, test } from "vitest";

import { Pauses } from "../../src/backoff.js";
import { ConnectFailed } from "../../src/errors.js";

test("pauses grow to ten seconds, and a useful connection begins anew", () => {
  let now = 0;
  const pauses = new Pauses(() => now, () => 1);
  expect(pauses.beforeFirstMs()).toBe(0);
  const failure = new ConnectFailed("no");
  expect([1, 2, 3].map(() => pauses.afterFailureMs(failure))).toEqual([200, 400, 800]);
  for (let count = 0; count < 20; count++) pauses.afterFailureMs(failure);
  expect(pauses.afterFailureMs(failure)).toBe(10_000);
  expect(pauses.afterFailureMs(new ConnectFailed("no", { retryAfterMs: 5000 }))).toBe(15_000);
  pauses.noteConnection();
  pauses.noteLoss(false);
  expect(pauses.beforeFirstMs()).toBe(10_000);
  pauses.noteLoss(true);
  expect(pauses.beforeFirstMs()).toBe(0);
  pauses.noteConnection();
  now = 20_000;
  pauses.noteLoss(false);
  expect(pauses.beforeFirstMs()).toBe(0);
});

test("a server that is away for a minute is tried fewer times than Chromium allows", () => {
  for (const chance of [0, 0.5, 1]) {
    const pauses = new Pauses(() => 0, () => chance);
    let elapsedMs = 0;
    let attempts = 0;
    while (elapsedMs < 60_000) {
      elapsedMs += pauses.afterFailureMs(new ConnectFailed("no"));
      attempts++;
    }
    expect(attempts).toBeLessThan(20);
  }
});
