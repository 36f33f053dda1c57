// @ts-check
/** The picture of the room: a floor, sparks, discs with eyes and trails, and where a finger drags. */

/** @typedef {{ x: number, y: number }} Place */
/** @typedef {Place & { number: number, move: number, score: number }} Disc */
/** @typedef {{ tick: number, sparks: Place[], discs: Disc[] }} Room */
/** @typedef {Place & { toX: number, toY: number }} Drag */

const DISC = 1900 / 65535;
const DAY = { floor: "#fff", line: "#dfe3ec", spark: "#d98e00", ring: "#1b2333" };
const NIGHT = { floor: "#171c28", line: "#232a3a", spark: "#ffc93c", ring: "#e7ebf5" };

/** @type {Map<number, Place[]>} */
const trails = new Map(); // The last places of each disc.

/** Returns the colour of a disc: those of neighbours differ much. */
export function colourOf(/** @type {number} */ number) {
  return `hsl(${(number * 137.5 + 350) % 360} 80% 55%)`;
}

/** Draws the room.
 * @param {CanvasRenderingContext2D} pen @param {Room} room @param {number} own @param {boolean} isNight @param {Drag | undefined} drag */
export function drawRoom(pen, room, own, isNight, drag) {
  const { canvas } = pen;
  const ratio = canvas.width / canvas.clientWidth;
  const colours = isNight ? NIGHT : DAY;
  const side = Math.min(canvas.width - 16 * ratio, canvas.height - 52 * ratio);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.setTransform(side, 0, 0, side, (canvas.width - side) / 2, 8 * ratio); // From here on, the room is 1 wide.
  pen.beginPath();
  pen.roundRect(0, 0, 1, 1, 0.02);
  pen.fillStyle = colours.floor;
  pen.fill();
  pen.fillStyle = colours.line;
  for (let i = 1; i < 10; i++) {
    pen.fillRect(i / 10, 0, 0.002, 1);
    pen.fillRect(0, i / 10, 1, 0.002);
  }
  pen.fillStyle = colours.spark;
  for (const { x, y } of room.sparks) {
    const size = 0.02 + 0.003 * Math.sin(room.tick / 12 + 40 * x); // It twinkles.
    pen.beginPath();
    for (let i = 0; i < 8; i++) {
      const [far, angle] = [size * (i % 2 === 0 ? 1 : 0.4), (i * Math.PI) / 4];
      pen.lineTo(x + far * Math.sin(angle), y + far * Math.cos(angle));
    }
    pen.fill();
  }
  for (const disc of room.discs) drawDisc(pen, disc);
  for (const number of trails.keys()) if (!room.discs.some((disc) => disc.number === number)) trails.delete(number);
  pen.lineWidth = 0.004;
  pen.strokeStyle = colours.ring;
  for (const { number, x, y } of room.discs) if (number === own) drawCircle(pen, x, y, DISC * 1.25);
  if (drag === undefined) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawCircle(pen, drag.x, drag.y, 48, "rgb(128 138 160 / 25%)");
  drawCircle(pen, drag.toX, drag.toY, 22, "rgb(128 138 160 / 60%)");
}

function drawDisc(/** @type {CanvasRenderingContext2D} */ pen, /** @type {Disc} */ { number, x, y }) {
  const trail = trails.get(number) ?? [];
  trails.set(number, [...trail.slice(-14), { x, y }]);
  pen.globalAlpha = 0.2;
  pen.strokeStyle = colourOf(number);
  pen.lineCap = pen.lineJoin = "round";
  for (const part of [0, 5, 10]) { // It grows towards the disc.
    pen.beginPath();
    for (const past of [...trail.slice(part), { x, y }]) pen.lineTo(past.x, past.y);
    pen.lineWidth = DISC * (0.5 + part / 10);
    pen.stroke();
  }
  pen.globalAlpha = 1;
  drawCircle(pen, x, y, DISC, colourOf(number));
  const [goneX, goneY] = [x - (trail[0]?.x ?? x), y - (trail[0]?.y ?? y)];
  const way = Math.hypot(goneX, goneY) || 1;
  const [eyeX, eyeY] = [x + (DISC * 0.3 * goneX) / way, y + (DISC * 0.3 * goneY) / way]; // It looks where it goes.
  for (const side of [-0.36, 0.36]) {
    drawCircle(pen, eyeX + side * DISC, eyeY, DISC * 0.28, "#fff");
    drawCircle(pen, eyeX + side * DISC + (DISC * 0.1 * goneX) / way, eyeY + (DISC * 0.1 * goneY) / way, DISC * 0.14, "#111");
  }
}

/** Draws a circle, or its outline where no colour is given. */
function drawCircle(
  /** @type {CanvasRenderingContext2D} */ pen, /** @type {number} */ x, /** @type {number} */ y,
  /** @type {number} */ radius, /** @type {string | undefined} */ fill = undefined,
) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill === undefined) pen.stroke();
  else {
    pen.fillStyle = fill;
    pen.fill();
  }
}
