/** Bytes as base64: with the URL-safe alphabet where the type is declared, with the standard one in tagged values. */

const CHUNK = 0x8000;

/** Encodes bytes with the standard alphabet (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return btoa(text);
}

/** Encodes bytes with the URL-safe alphabet and padding (RFC 4648, section 5). */
export function toUrlBase64(bytes: Uint8Array): string {
  return toBase64(bytes).replace(/\+/g, "-").replace(/\//g, "_");
}

/** Decodes either alphabet.
 * @throws Error: the text is not base64. */
export function fromBase64(text: string): Uint8Array {
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
