import type { JobKind, Reference } from "../api/shapes";

/** One setting of a job's configuration, as its JSON schema describes it. */
export interface Setting {
  path: string;
  title: string;
  words: string;
  type: "integer" | "number" | "boolean" | "string" | "choice" | "list";
  choices: readonly string[];
  nullable: boolean;
  required: boolean;
  limits: string;
  default: unknown;
}

type Schema = Record<string, unknown>;

function record(value: unknown): Schema {
  return typeof value === "object" && value !== null ? (value as Schema) : {};
}

/** The settings of a kind of job; those of a nested group carry its name before a dot. */
export function settingsOf(schema: Schema, prefix = ""): Setting[] {
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  return Object.entries(record(schema["properties"])).flatMap(([name, value]) => {
    const entry = record(value);
    const path = `${prefix}${name}`;
    if (entry["type"] === "object") return settingsOf(entry, `${path}.`).map((inner) => ({ ...inner, title: `${titleOf(path, entry)}: ${inner.title.toLowerCase()}` }));
    return [settingOf(path, entry, required.includes(name))];
  });
}

function titleOf(path: string, entry: Schema): string {
  return typeof entry["title"] === "string" ? entry["title"] : path;
}

function settingOf(path: string, entry: Schema, required: boolean): Setting {
  const types = [entry["type"]].flat();
  const choices = Array.isArray(entry["enum"]) ? entry["enum"].map(String) : [];
  const plain = types.find((type) => type !== "null");
  const type = choices.length > 0 ? "choice" : plain === "array" ? "list" : plain;
  return {
    path,
    title: titleOf(path, entry),
    words: typeof entry["description"] === "string" ? entry["description"] : "",
    type: isType(type) ? type : "string",
    choices,
    nullable: types.includes("null"),
    required,
    limits: limitsOf(entry),
    default: entry["default"],
  };
}

function isType(type: unknown): type is Setting["type"] {
  return ["integer", "number", "boolean", "string", "choice", "list"].includes(String(type));
}

function limitsOf(entry: Schema): string {
  const said = [
    ["minimum", "at least"],
    ["exclusiveMinimum", "more than"],
    ["maximum", "at most"],
    ["exclusiveMaximum", "less than"],
  ] as const;
  return said
    .filter(([key]) => typeof entry[key] === "number")
    .map(([key, words]) => `${words} ${String(entry[key])}`)
    .join(", ");
}

/** A default as it stands in its field. */
export function asText(value: unknown): string {
  if (value == null) return "";
  if (Array.isArray(value)) return value.map(String).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What was typed, as JSON; undefined for a field that is left to its default. */
function fromText(setting: Setting, text: string): unknown {
  const trimmed = text.trim();
  if (trimmed === "") return setting.nullable ? null : undefined;
  switch (setting.type) {
    case "integer":
    case "number":
      return Number.isNaN(Number(trimmed)) ? trimmed : Number(trimmed);
    case "boolean":
      return trimmed === "true";
    case "list":
      return trimmed.split(",").map((part) => (Number.isNaN(Number(part)) ? part.trim() : Number(part)));
    default:
      return setting.type === "choice" && typeof setting.default === "number" ? Number(trimmed) : text;
  }
}

/** The configuration that is sent: only what differs from the defaults. */
export function configOf(settings: readonly Setting[], typed: Readonly<Record<string, string>>): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const setting of settings) {
    const text = typed[setting.path];
    if (text === undefined || text === asText(setting.default)) continue;
    const value = fromText(setting, text);
    if (value !== undefined) place(config, setting.path.split("."), value);
  }
  return config;
}

function place(config: Record<string, unknown>, [name = "", ...rest]: string[], value: unknown): void {
  if (rest.length === 0) {
    config[name] = value;
    return;
  }
  const inner = record(config[name]);
  config[name] = inner;
  place(inner, rest, value);
}

/** The typed fields that stand for a configuration. */
export function typedFrom(settings: readonly Setting[], config: Record<string, unknown>): Record<string, string> {
  const entries = settings.map((setting) => {
    const value = setting.path.split(".").reduce<unknown>((at, name) => record(at)[name], config);
    return [setting.path, value === undefined ? undefined : asText(value)] as const;
  });
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** What somebody asks a job to do. */
export interface Order {
  kind: string;
  typed: Readonly<Record<string, string>>;
  /** By input; an empty string leaves an optional input out. */
  inputs: Readonly<Record<string, Reference>>;
}

/** An order with every input at its default. */
export function newOrder(kind: JobKind): Order {
  return { kind: kind.kind, typed: {}, inputs: Object.fromEntries(kind.inputs.map((slot) => [slot.name, slot.default ?? ""])) };
}

/** The references that are sent; an empty one says that the job does without. */
export function inputsOf(order: Order): Record<string, Reference> {
  return { ...order.inputs };
}

/** What a refusal says about one field; the server's words may come as text or as a list. */
export function wrongAt(fields: Record<string, unknown>, name: string): string | undefined {
  const said = fields[name];
  if (said === undefined) return undefined;
  return Array.isArray(said) ? said.map(asText).join(" ") : asText(said);
}
