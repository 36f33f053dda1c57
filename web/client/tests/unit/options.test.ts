import { expect, test } from "vitest";

import { contextOf, rootOf } from "../../src/options.js";

test("a page knows the root of the server that it came from, also below a prefix", () => {
  for (const page of ["/", "/docs", "/index.html", "/services/desk/", "/services/desk/a/b.html"]) {
    expect(rootOf(page)).toBe("/");
    expect(rootOf(`/rpc${page}`)).toBe("/rpc/");
  }
});

test("what goes with a call besides its parameters", () => {
  expect(contextOf({}, 0.4)).toEqual({ ttl_ms: 1 });
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  expect(contextOf({ key: "k", traceparent, tracestate: "a=b" }, 5)).toEqual({ ttl_ms: 5, key: "k", traceparent, tracestate: "a=b" });
});
