import { Link } from "react-router";
import { useSlug } from "../api/project";
import { Card } from "../look/Card";
import { figure } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";
import { between, type Ceiling, type ConfidentError, type CurvePoint, type Evaluation, type Figure, type Figures, limits, share } from "./evaluation";
import { type Point, Plot } from "./Plot";
import styles from "./RewardFigures.module.css";

/** How well a reward model agrees with people, for whom, and where it does not: plots with the doubt drawn in. */
export function RewardFigures({ evaluation }: { evaluation: Evaluation }) {
  const { figures, curve } = evaluation;
  const { ceiling } = figures;
  const limit = ceiling ? { value: ceiling.accuracy, name: "ceiling" } : undefined;
  const strengths = figures.by_strength.map((row) => ({ ...row, name: steps(row.steps), tick: row.steps === 3 ? "3 or more" : String(row.steps) }));
  const lengths: Point[] = [
    { ...figures.shorter_preferred, name: "the shorter response was preferred", tick: "shorter preferred" },
    { ...figures.longer_preferred, name: "the longer response was preferred", tick: "longer preferred" },
  ];
  const [from, to] = limits([ceiling?.accuracy, ...[...strengths, ...curve.map((each) => each.accuracy)].flatMap((each) => [each.low ?? each.value, each.high ?? each.value])]);
  const [shortest, longest] = limits(lengths.flatMap((each) => [each.low ?? each.value, each.high ?? each.value]));
  return (
    <section className={styles["board"]} aria-label="How well it does">
      <Headline evaluation={evaluation} />
      <div className={styles["plots"]}>
        {strengths.length > 0 && (
          <Plot
            title="By strength of preference"
            about="How often it prefers what people preferred, by how many steps of rating lay between the two."
            points={strengths}
            from={from}
            to={to}
            limit={limit}
            across="Steps of rating apart"
            unit="comparisons"
          />
        )}
        <Plot
          title="Calibration"
          about={`What it promises against what came true. On average they lie ${share(figures.calibration.ece)} apart (ECE).`}
          points={figures.calibration.bins.map((bin) => ({ ...bin, name: `promised ${share(bin.predicted)}`, at: (bin.predicted - 0.5) * 2 }))}
          from={limits(figures.calibration.bins.map((bin) => bin.low ?? bin.value))[0]}
          to={1}
          diagonal
          ticks={[0.5, 0.6, 0.7, 0.8, 0.9, 1].map((at) => ({ at: (at - 0.5) * 2, name: `${String(at * 100)} %` }))}
          across="Promised"
          unit="comparisons"
        />
        {curve.length > 0 && (
          <Plot
            title="Learning curve"
            about="Accuracy on the valid prompts after learning from part of the rankings, and from all of them."
            points={curve.map(onCurve)}
            from={from}
            to={to}
            limit={limit}
            joined
            across="Prompts learned from"
            unit="comparisons"
          />
        )}
        <Plot
          title="Length"
          about={`Does it like length? Correlation of score and length within a prompt: ${figure(figures.length_correlation)}.`}
          points={lengths}
          from={shortest}
          to={longest}
          across="Which one people preferred"
          unit="comparisons"
        />
      </div>
      <div className={styles["plots"]}>
        <People evaluation={evaluation} />
        <Flags flags={figures.by_flag} />
      </div>
      <Errors errors={figures.errors} />
      {curve.length === 0 && <Quiet>A learning curve is drawn when the job's setting `learning_curve` asks for one.</Quiet>}
    </section>
  );
}

function steps(count: number): string {
  if (count === 0) return "rated alike";
  return count === 1 ? "1 step apart" : count === 3 ? "3 or more steps apart" : `${String(count)} steps apart`;
}

function onCurve(point: CurvePoint): Point {
  return {
    ...point.accuracy,
    name: `${point.prompts.toLocaleString()} prompts (${String(Math.round(point.share * 100))} %)`,
    tick: point.prompts.toLocaleString(),
    at: 0.05 + 0.9 * point.share,
  };
}

function Headline({ evaluation }: { evaluation: Evaluation }) {
  const { figures, split } = evaluation;
  const { ceiling } = figures;
  return (
    <Card title="How well it agrees with people">
      <dl className={styles["headline"]}>
        <Big name="accuracy" value={share(figures.accuracy.value)} aside={between(figures.accuracy)} />
        <Big
          name="ceiling"
          value={ceiling ? share(ceiling.accuracy) : "–"}
          aside={ceiling ? agreed(ceiling) : "too few pairs were judged by two"}
        />
        <Big name="log-loss" value={figure(figures.log_loss.value)} aside={logLoss(figures)} />
        <Big name="Kendall's τ" value={figure(figures.kendall_tau)} />
      </dl>
      <Quiet>
        On {figures.comparisons.toLocaleString()} comparisons of {figures.prompts.toLocaleString()} prompts of the split {split}, which it never learned from. Intervals
        are of 95 %, with prompts drawn independently.
      </Quiet>
    </Card>
  );
}

function agreed({ accuracy, agreement, pairs, ...ends }: Ceiling): string {
  return [between({ value: accuracy, count: pairs, ...ends }), `annotators agree on ${share(agreement)} of ${pairs.toLocaleString()} pairs`].filter(Boolean).join(" · ");
}

function logLoss({ log_loss: loss, ceiling }: Figures): string {
  const interval = loss.low === undefined || loss.high === undefined ? "" : `${figure(loss.low)}–${figure(loss.high)}`;
  return [interval, ceiling && `best possible ${figure(ceiling.log_loss)}`].filter(Boolean).join(" · ");
}

function Big({ name, value, aside }: { name: string; value: string; aside?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <b>{value}</b>
        {aside && <span>{aside}</span>}
      </dd>
    </div>
  );
}

function People({ evaluation }: { evaluation: Evaluation }) {
  const { figures, reliability } = evaluation;
  const rows = Object.entries(figures.by_annotator).map(([name, of]) => ({ name, of, reliable: reliability?.[name] }));
  const { seen_annotators: seen, unseen_annotators: unseen } = figures;
  return (
    <Card title="By annotator">
      {unseen && unseen.annotators > 0 ? (
        <p className={styles["about"]}>
          With the {unseen.annotators === 1 ? "one annotator" : `${unseen.annotators.toLocaleString()} annotators`} whose words it never learned from it agrees on <b>{share(unseen.accuracy.value)}</b>{" "}
          <Quiet>{between(unseen.accuracy)}</Quiet>, with the others on <b>{share(seen?.accuracy.value)}</b> <Quiet>{seen ? between(seen.accuracy) : ""}</Quiet>.
        </p>
      ) : (
        <p className={styles["about"]}>
          <Quiet>It learned from everyone who judged here; the setting `held_out_annotators` keeps some apart.</Quiet>
        </p>
      )}
      <div className={styles["long"]}>
        <Table
          caption="Accuracy by annotator"
          bare
          rows={rows}
          id={(row) => row.name}
          columns={[
            { name: "Annotator", show: (row) => row.name },
            ...shares<(typeof rows)[number]>((row) => row.of),
            ...(reliability === null ? [] : [{ name: "Reliable", number: true, show: (row: (typeof rows)[number]) => (row.reliable === undefined ? "–" : share(row.reliable)) }]),
          ]}
        />
      </div>
    </Card>
  );
}

function Flags({ flags }: { flags: Readonly<Record<string, Figure>> }) {
  const rows = Object.entries(flags).map(([name, of]) => ({ name, of }));
  return (
    <Card title="By flag">
      {rows.length === 0 && <Quiet>Nobody flagged a response or a task among these.</Quiet>}
      {rows.length > 0 && (
        <>
          <p className={styles["about"]}>Comparisons in which either response, or the whole task, has this flag.</p>
          <div className={styles["long"]}>
            <Table
              caption="Accuracy by flag"
              bare
              rows={rows}
              id={(row) => row.name}
              columns={[{ name: "Flag", show: (row) => row.name.replaceAll("_", " ") }, ...shares<(typeof rows)[number]>((row) => row.of)]}
            />
          </div>
        </>
      )}
    </Card>
  );
}

function shares<Row>(of: (row: Row) => Figure) {
  return [
    { name: "Agrees", number: true, show: (row: Row) => share(of(row).value) },
    { name: "95 %", number: true, show: (row: Row) => between(of(row)) || "–" },
    { name: "Comparisons", number: true, show: (row: Row) => of(row).count.toLocaleString() },
  ];
}

function Errors({ errors }: { errors: readonly ConfidentError[] }) {
  return (
    <Card title="Where it is surest and wrong">
      {errors.length === 0 && <Quiet>It got no comparison wrong here.</Quiet>}
      <ol className={styles["errors"]}>
        {errors.map((error) => (
          <li key={error.id}>
            <WrongAbout error={error} />
          </li>
        ))}
      </ol>
    </Card>
  );
}

function WrongAbout({ error }: { error: ConfidentError }) {
  const slug = useSlug();
  return (
    <article className={styles["error"]}>
      <p>
        It gave what people preferred <b>{share(error.probability)}</b>.{" "}
        <Quiet>
          {error.said_by.join(", ")} preferred it{error.said_otherwise_by.length > 0 && `; not so ${error.said_otherwise_by.join(", ")}`}.
        </Quiet>{" "}
        {/^\d+$/.test(error.id) && <Link to={`/p/${slug}/review/${error.id}`}>Task {error.id}</Link>}
      </p>
      {error.prompt.map((turn, index) => (
        <p key={`${String(index)} ${turn.role}`} className={styles["turn"]} dir="auto">
          <Quiet>{turn.role}</Quiet> {turn.content}
        </p>
      ))}
      <div className={styles["pair"]}>
        <figure>
          <figcaption>People preferred</figcaption>
          <blockquote dir="auto">{error.preferred}</blockquote>
        </figure>
        <figure>
          <figcaption>It scored higher</figcaption>
          <blockquote dir="auto">{error.scored_higher}</blockquote>
        </figure>
      </div>
    </article>
  );
}
