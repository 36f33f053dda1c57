/** What `rpc.discover` tells of methods (an OpenRPC document), as far as this page needs it. */

/** A JSON schema. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema | boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly contentEncoding?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** A parameter of a method. */
export interface Parameter {
  readonly name: string;
  readonly required?: boolean;
  readonly schema: Schema;
  readonly "x-secret"?: boolean;
  /** The schema of its items, if it is a stream. */
  readonly "x-stream"?: Schema;
}

/** An error that a method declares. */
export interface DeclaredError {
  readonly code: number;
  readonly message: string;
  readonly data?: { readonly type?: string };
}

/** A method. */
export interface Method {
  readonly name: string;
  readonly summary?: string;
  readonly description?: string;
  readonly params: readonly Parameter[];
  readonly result: { readonly schema: Schema; readonly "x-stream"?: Schema };
  readonly errors?: readonly DeclaredError[];
  readonly "x-permission": string;
  readonly "x-kind": string;
  readonly "x-deadline_s": number;
  readonly "x-event"?: boolean;
}

/** The answer of `rpc.discover`. */
export interface Discovery {
  readonly methods: readonly Method[];
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** The schemas by name. */
export type Schemas = Discovery["components"]["schemas"];

/** The methods of a service. */
export interface Service {
  readonly name: string;
  readonly methods: readonly Method[];
}

const OPEN = new Set([
  "rpc.hello", "rpc.authenticate", "rpc.ping", "rpc.discover", "rpc.services", "rpc.list_permissions", "rpc.create_ticket",
  "rpc.list_sessions", "rpc.revoke_session",
]);

/** Tells whether a role with these permissions may call a method. */
export function isAllowed(method: Method, permissions: ReadonlySet<string>): boolean {
  return OPEN.has(method.name) || permissions.has(method["x-permission"]);
}

/** Tells whether a method answers with a stream. */
export function isStream(method: Method): boolean {
  return method.result["x-stream"] !== undefined;
}

/** Puts the methods of each service together; the protocol's own come last.
 * @param search - words that the name or the summary of a method must have. */
export function groupMethods(methods: readonly Method[], search: string): Service[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const groups = new Map<string, Method[]>();
  for (const method of methods) {
    const text = `${method.name} ${method.summary ?? ""}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    const service = method.name.slice(0, method.name.lastIndexOf("."));
    const group = groups.get(service);
    if (group === undefined) groups.set(service, [method]);
    else group.push(method);
  }
  return [...groups]
    .map(([name, members]) => ({ name, methods: members }))
    .sort((one, other) => Number(one.name === "rpc") - Number(other.name === "rpc") || one.name.localeCompare(other.name));
}

/** Follows references, and takes what a default is added to (`allOf` of one schema). */
export function resolve(schema: Schema, schemas: Schemas): Schema {
  let current = schema;
  for (let depth = 0; depth < 20; depth++) {
    const only = current.allOf?.length === 1 ? current.allOf[0] : undefined;
    const named = current.$ref === undefined ? undefined : schemas[current.$ref.slice(current.$ref.lastIndexOf("/") + 1)];
    const next = named ?? only;
    if (next === undefined) return current;
    const rest = Object.entries(current).filter(([key]) => key !== "$ref" && key !== "allOf");
    current = { ...next, ...(Object.fromEntries(rest) as Schema) };
  }
  return current;
}

/** Takes null out of a choice: whether it may be null, and what it may be besides. */
export function withoutNull(schema: Schema, schemas: Schemas): { readonly schema: Schema; readonly isNullable: boolean } {
  const whole = resolve(schema, schemas);
  const choices = whole.anyOf ?? whole.oneOf;
  if (choices === undefined) return { schema: whole, isNullable: whole.type === "null" };
  const left = choices.filter((each) => resolve(each, schemas).type !== "null");
  const isNullable = left.length < choices.length;
  const only = left[0];
  return left.length === 1 && only !== undefined
    ? { schema: { ...resolve(only, schemas), ...(whole.description === undefined ? {} : { description: whole.description }) }, isNullable }
    : { schema: whole, isNullable };
}

/** Writes a type in short, such as `list of string, or null`. */
export function nameType(schema: Schema | boolean | undefined, schemas: Schemas, depth = 0): string {
  if (schema === undefined || typeof schema === "boolean") return "anything";
  if (schema.$ref !== undefined && depth > 0) return resolve(schema, schemas).title ?? schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
  const whole = resolve(schema, schemas);
  if (whole.const !== undefined) return JSON.stringify(whole.const);
  if (whole.enum !== undefined) return whole.enum.map((each) => JSON.stringify(each)).join(" | ");
  const choices = whole.anyOf ?? whole.oneOf;
  if (choices !== undefined) return [...new Set(choices.map((each) => nameType(each, schemas, depth + 1)))].join(" or ");
  if (Array.isArray(whole.type)) return whole.type.join(" or ");
  switch (whole.type) {
    case "array": return `list of ${nameType(whole.items, schemas, depth + 1)}`;
    case "object": return whole.properties !== undefined
      ? (whole.title ?? "object")
      : `object of ${nameType(whole.additionalProperties, schemas, depth + 1)}`;
    case "string": return whole.contentEncoding === undefined ? "string" : "bytes";
    case undefined: return whole.title ?? "anything";
    default: return whole.type as string;
  }
}
