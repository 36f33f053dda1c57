/** Programs: words, variables, and what events make of the list. */

import { expect, test } from "vitest";
import type { ProgramInfo } from "@remote-services/client/stubs/programs";
import { applyEvent, describeState, sortPrograms } from "../../src/pages/programs/states.ts";
import { joinWords, readVariables, splitWords, WordsProblem } from "../../src/pages/programs/words.ts";

function program(id: string, more: Partial<ProgramInfo> = {}): ProgramInfo {
  return {
    id, pid: 1, pid_start: 1, started_at: 0, owner: "owner", argv: ["true"], cwd: "/", user: null, labels: {}, terminal: null, on_disconnect: "keep",
    controlled: false, viewers: 0, running: true, status: null, stdout_start: 0, stdout_bytes: 0, stderr_start: 0, stderr_bytes: 0, ...more,
  };
}

const ended = { code: 0, signal: null, limit: null, core_dumped: false, lost: false };

test("a line is split into words as it looks", () => {
  expect(splitWords(`sh -c 'echo "a b"; exit' ""  x\\ y "q\\"'"`)).toEqual(["sh", "-c", 'echo "a b"; exit', "", "x y", `q"'`]);
  expect(splitWords("  ")).toEqual([]);
  expect(() => splitWords("echo 'a")).toThrow(WordsProblem);
  const words = ["a b", "it's", "", "plain", '"'];
  expect(splitWords(joinWords(words))).toEqual(words);
});

test("variables stand one on each line", () => {
  expect(readVariables("A=1\n\nB=x=y")).toEqual({ A: "1", B: "x=y" });
  expect(() => readVariables("A")).toThrow("A: write NAME=VALUE");
});

test("events change the list; what runs comes first", () => {
  let roll = applyEvent(new Map(), { kind: "running", program: program("1"), exit: null });
  roll = applyEvent(roll, { kind: "started", program: program("2", { started_at: 5 }), exit: null });
  roll = applyEvent(roll, { kind: "started", program: program("3", { started_at: 9 }), exit: null });
  roll = applyEvent(roll, { kind: "exited", program: program("3", { started_at: 9, running: false, status: ended }), exit: null });
  expect(sortPrograms(roll).map((each) => each.id)).toEqual(["2", "1", "3"]);
  expect([...applyEvent(roll, { kind: "forgotten", program: program("3"), exit: null }).keys()]).toEqual(["1", "2"]);
});

test("how a program is", () => {
  const text = (more: Partial<ProgramInfo>): string => describeState(program("1", { running: false, ...more })).text;
  expect(text({ running: true })).toBe("running");
  expect(text({ status: ended })).toBe("code 0");
  expect(text({ status: { ...ended, code: null, signal: "SIGKILL" } })).toBe("SIGKILL");
  expect(text({ status: { ...ended, limit: "time" } })).toBe("reached its limit: time");
  expect(text({ status: { ...ended, lost: true } })).toBe("end not seen");
});
