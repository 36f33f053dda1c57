// @ts-check
/** The page of the arena. The first lines of arena.py tell what the bytes mean. */

import { colourOf, drawRoom } from "./picture.js";
import { Client, PermissionDenied, ServiceError, Unauthenticated } from "../../client.js"; // The server has it for all pages.

const KEY = "remote-services.session"; // Where the console keeps its session, too: whoever is signed in there may play.
const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const canvas = /** @type {HTMLCanvasElement} */ (find("room"));
const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

// The protocol: what comes, and what goes.

/** Reads a state. @returns {import("./picture.js").Room} */
function read(/** @type {Uint8Array} */ bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 6;
  const byte = () => view.getUint8(at++);
  const short = () => view.getUint16((at += 2) - 2, true);
  const place = () => ({ x: short() / 65535, y: short() / 65535 });
  const sparks = Array.from({ length: view.getUint8(4) }, place);
  const discs = Array.from({ length: view.getUint8(5) }, () => ({ number: byte(), move: byte(), ...place(), score: short() }));
  return { tick: view.getUint32(0, true), sparks, discs };
}

const sent = { move: 0, x: 0, y: 0, atMs: 0 };

/** Sends where the own disc is to go: a direction, no longer than 1. */
function steer(/** @type {number} */ right, /** @type {number} */ down) {
  const [x, y] = [Math.round(right * 127), Math.round(down * 127)];
  if (client?.state !== "connected" || (x === sent.x && y === sent.y)) return;
  Object.assign(sent, { move: (sent.move + 1) % 256, x, y, atMs: performance.now() });
  client.notify("arena.steer", [new Uint8Array([sent.move, x, y])], { resend: false }).catch(() => undefined);
}

/** @type {Client | undefined} */
let client;
/** @type {import("./picture.js").Room | undefined} */
let room;
let own = -1; // The number of the own disc.

/** Signs in with a ticket in the address, or the session of this tab, and plays; goes on when the connection was lost. */
async function play() {
  const ticket = /^#ticket=([\w.~-]+)$/.exec(location.hash)?.[1];
  const session = JSON.parse(sessionStorage.getItem(KEY) ?? "null")?.secret;
  if (ticket !== undefined) history.replaceState(null, "", location.pathname);
  if ((ticket ?? session) === undefined) return say(`To play, open the address that this prints: rpcserver console --url ${location.href}`);
  const onSession = (/** @type {object} */ made) => sessionStorage.setItem(KEY, JSON.stringify(made));
  client = new Client(undefined, ticket === undefined ? { session } : { ticket, onSession });
  client.watch((state, error) => say(state === "connected" ? "" : `${state}… ${error?.message ?? ""}`));
  for (;;) {
    try {
      const stream = client.stream("arena.play", [], { window: 8 }); // A page that is slow gets the newest state, and is at most 8 behind.
      for await (const item of /** @type {AsyncIterable<Uint8Array>} */ (stream)) {
        if (item.length > 1) {
          room = read(item);
          continue;
        }
        [own = -1] = item;
        Object.assign(sent, { x: 0, y: 0 });
        find("invite").hidden = false;
      }
    } catch (error) {
      if (error instanceof Unauthenticated) sessionStorage.removeItem(KEY);
      if ([Unauthenticated, PermissionDenied, ServiceError].some((kind) => error instanceof kind)) return say(String(error));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

function say(/** @type {string} */ text) {
  find("note").textContent = text;
}

find("invite").addEventListener("click", async () => {
  try {
    const { ticket } = /** @type {{ ticket: string }} */ (await client?.call("rpc.create_ticket"));
    const link = Object.assign(document.createElement("a"), { target: "_blank", rel: "noopener", href: `#ticket=${ticket}` });
    link.textContent = link.href;
    link.addEventListener("click", () => say(""));
    find("note").replaceChildren("This signs one more window in as you, once and within a minute: ", link);
  } catch (error) {
    say(String(error));
  }
});

// What players do: keys, or a drag with a finger or the mouse.

const WAYS = new Map([["KeyD", "Right"], ["KeyA", "Left"], ["KeyS", "Down"], ["KeyW", "Up"]]);
for (const way of [...WAYS.values()]) WAYS.set(`Arrow${way}`, way);
/** @type {Set<string>} */
const keys = new Set(); // That are down, by their ways.
/** @type {import("./picture.js").Drag | undefined} */
let drag;

function steerByKeys() {
  const x = Number(keys.has("Right")) - Number(keys.has("Left"));
  const y = Number(keys.has("Down")) - Number(keys.has("Up"));
  const length = Math.max(Math.hypot(x, y), 1);
  steer(x / length, y / length);
}

for (const kind of /** @type {const} */ (["keydown", "keyup"])) {
  addEventListener(kind, (event) => {
    const way = WAYS.get(event.code);
    if (way === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (kind === "keydown") keys.add(way);
    else keys.delete(way);
    steerByKeys();
  });
}
addEventListener("blur", () => { keys.clear(); steerByKeys(); });
canvas.addEventListener("pointerdown", ({ pointerId, offsetX: x, offsetY: y }) => {
  canvas.setPointerCapture(pointerId);
  drag = { x, y, toX: x, toY: y };
});
canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
  if (drag === undefined) return;
  const [x, y] = [offsetX - drag.x, offsetY - drag.y];
  const length = Math.max(Math.hypot(x, y), 48);
  Object.assign(drag, { toX: drag.x + (48 * x) / length, toY: drag.y + (48 * y) / length });
  steer(x / length, y / length);
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { drag = undefined; steer(0, 0); });

// What they see.

const night = matchMedia("(prefers-color-scheme: dark)");
/** What is on the screen. @type {typeof room} */
let shown;

function draw() {
  requestAnimationFrame(draw);
  if (room === undefined || room === shown) return;
  shown = room;
  drawRoom(pen, room, own, night.matches, drag);
  showNumbers(room);
  canvas.dispatchEvent(new CustomEvent("drawn", { detail: room })); // For whoever measures.
}

/** Shows the scores, and how long a move of ours takes until it is on this screen. */
function showNumbers(/** @type {import("./picture.js").Room} */ { discs }) {
  if (sent.atMs !== 0 && discs.some(({ number, move }) => number === own && move === sent.move)) {
    find("lag").textContent = `${(performance.now() - sent.atMs).toFixed(0)} ms`;
    sent.atMs = 0;
  }
  const scores = discs.map(({ number, score }) => `${number} ${score}`).join();
  if (scores === find("scores").dataset["shown"]) return;
  find("scores").dataset["shown"] = scores;
  const rows = discs.map(({ number, score }) => {
    const [row, dot] = [document.createElement("li"), document.createElement("i")];
    dot.style.background = colourOf(number);
    row.className = number === own ? "own" : "";
    row.append(dot, number === own ? `you ${score}` : String(score));
    return row;
  });
  find("scores").replaceChildren(...rows);
}

new ResizeObserver(() => {
  const ratio = Math.min(devicePixelRatio, 2);
  [canvas.width, canvas.height, shown] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio, undefined];
}).observe(canvas);
night.addEventListener("change", () => { shown = undefined; });
say("");
requestAnimationFrame(draw);
void play();
