/** The server shows the client to all pages at `client.js`, below its own address. */
export * from "../../web/client/src/index.js";
