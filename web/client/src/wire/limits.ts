/** The limits of a session: what one side accepts, and what it may send. */

export interface SessionLimits {
  /** The largest message to send, in bytes. */
  readonly messageBytes: number;
  /** The most values, names, arrays and objects of a message to send. */
  readonly messageNodes: number;
  /** The most calls of the other side that are under way. */
  readonly calls: number;
  /** The most open streams in each direction. */
  readonly streams: number;
  /** The number of items that a producer may be ahead of its reader, unless a call says otherwise. */
  readonly window: number;
}

/** What a server with the settings of its delivery accepts. What it really accepts is known once it has said so. */
export const DEFAULT_LIMITS: SessionLimits = {
  messageBytes: 1024 * 1024,
  messageNodes: 20 * 1024,
  calls: 1024,
  streams: 256,
  window: 64,
};

/** The largest frame into which messages are joined that are ready together, in bytes. */
export const COALESCE_BYTES = 32 * 1024;

/** The largest message into which items of a stream are joined that are ready together, in bytes. */
export const ITEMS_BYTES = 64 * 1024;

/** The most messages of one frame. */
export const FRAME_MESSAGES = 1000;
