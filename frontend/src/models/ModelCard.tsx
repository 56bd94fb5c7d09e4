import { Card } from "../look/Card";
import { digestStart, figure } from "../look/numbers";
import { Quiet } from "../look/states";
import styles from "./Models.module.css";

type Json = unknown;

const FIRST = ["description", "metrics", "evaluation", "samples", "config"];
const SAID_ELSEWHERE = ["kind", "parents", "files"];

/** The card that the trainer wrote, read out: numbers as tables, samples as texts, the rest by name. */
export function ModelCard({ card }: { card: Readonly<Record<string, Json>> }) {
  const names = Object.keys(card).filter((name) => !SAID_ELSEWHERE.includes(name) && card[name] !== null);
  const order = (name: string): number => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const parts = names.filter((name) => typeof card[name] === "object").toSorted((one, other) => order(one) - order(other));
  const plain = names.filter((name) => typeof card[name] !== "object");
  return (
    <Card title="Card">
      {names.length === 0 && <Quiet>The card is empty.</Quiet>}
      <dl className={styles["pairs"]}>
        {plain.map((name) => (
          <Pair key={name} name={name} value={card[name]} />
        ))}
      </dl>
      {parts.map((name) => (
        <section key={name} className={styles["part"]} aria-label={said(name)}>
          <h3>{said(name)}</h3>
          <Value value={card[name]} />
        </section>
      ))}
    </Card>
  );
}

function said(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function Pair({ name, value }: { name: string; value: Json }) {
  return (
    <div>
      <dt>{name.includes("/") ? name : said(name)}</dt>
      <dd>{plainly(value)}</dd>
    </div>
  );
}

function plainly(value: Json): string {
  if (typeof value === "number") return figure(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "string") return JSON.stringify(value);
  return value.startsWith("sha256:") ? digestStart(value) : value;
}

function isPlain(value: Json): boolean {
  return typeof value !== "object" || value === null || isInterval(value) || (Array.isArray(value) && value.every((each) => typeof each !== "object"));
}

/** A number with its interval: {value, low, high}. */
function isInterval(value: Json): value is { value: number; low: number; high: number } {
  return typeof value === "object" && value !== null && "value" in value && "low" in value && "high" in value;
}

function Value({ value }: { value: Json }) {
  if (Array.isArray(value)) return <List items={value} />;
  const entries = Object.entries(value as Record<string, Json>);
  const plain = entries.filter(([, each]) => isPlain(each));
  const nested = entries.filter(([, each]) => !isPlain(each));
  return (
    <>
      <dl className={styles["pairs"]}>
        {plain.map(([name, each]) =>
          isInterval(each) ? (
            <div key={name}>
              <dt>{said(name)}</dt>
              <dd>
                {figure(each.value)} <Quiet>{`${figure(each.low)}–${figure(each.high)}`}</Quiet>
              </dd>
            </div>
          ) : (
            <Pair key={name} name={name} value={Array.isArray(each) ? each.map(plainly).join(", ") : each} />
          ),
        )}
      </dl>
      {nested.map(([name, each]) => (
        <section key={name} className={styles["nested"]} aria-label={said(name)}>
          <h3>{said(name)}</h3>
          <Value value={each} />
        </section>
      ))}
    </>
  );
}

function List({ items }: { items: readonly Json[] }) {
  return (
    <ul className={styles["list"]}>
      {items.map((item, index) => (
        <li key={`${String(index)} ${plainly(item).slice(0, 40)}`}>
          {isSample(item) ? (
            <>
              <Quiet>{promptText(item.prompt)}</Quiet>
              <blockquote dir="auto">{item.response}</blockquote>
            </>
          ) : isPlain(item) ? (
            plainly(item)
          ) : (
            <Value value={item} />
          )}
        </li>
      ))}
    </ul>
  );
}

function isSample(item: Json): item is { prompt: Json; response: string } {
  return typeof item === "object" && item !== null && "prompt" in item && "response" in item && typeof item.response === "string";
}

function promptText(prompt: Json): string {
  if (typeof prompt === "string") return prompt;
  const last = Array.isArray(prompt) ? (prompt.at(-1) as { content?: string } | undefined) : undefined;
  return last?.content ?? "";
}
