import type { Quality } from "../api/shapes";
import { ordinal, percent } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";
import { Panel } from "./Panel";
import styles from "./Quality.module.css";
import { Whisker } from "./Whisker";
import { shareWords } from "./words";

/** Whether where a card lies on the screen decides how it is judged. */
export function Places({ found }: { found: Quality }) {
  const places = found.places.map((rate, index) => ({ place: index + 1, rate }));
  const leaning = places.filter(({ rate }) => rate.low !== null && rate.high !== null && (rate.low > 0.5 || rate.high < 0.5));
  if (places.length === 0) {
    return (
      <Panel
        title="Position on the screen"
        picture={<Quiet>Nobody knows in which order these responses were shown: they were brought in from files.</Quiet>}
        table={<Quiet>There is nothing to count.</Quiet>}
      />
    );
  }
  const name = (place: number): string => (place === 1 ? "left-most" : `${ordinal(place)} from the left`);
  const picture = (
    <ul className={styles["rows"]}>
      {places.map(({ place, rate }) => (
        <li key={place}>
          <span>{name(place)}</span>
          <Whisker found={rate} from={0.3} to={0.7} line={0.5} label={`The ${name(place)} card stands above another in ${shareWords(rate)} of comparisons`} />
          <b>{percent(rate.value)}</b>
        </li>
      ))}
    </ul>
  );
  const table = (
    <Table
      caption="Position on the screen, in numbers"
      bare
      rows={places}
      id={(row) => row.place}
      columns={[
        { name: "Card", show: (row) => name(row.place) },
        { name: "Stands above another", number: true, show: (row) => shareWords(row.rate) },
        { name: "Comparisons", number: true, show: (row) => Math.round(row.rate.count).toLocaleString() },
      ]}
    />
  );
  const about =
    leaning.length === 0
      ? "Cards are shuffled: every place should win half of its comparisons, and none differs from that by more than chance."
      : `Cards are shuffled: every place should win half of its comparisons. ${leaning.map(({ place }) => `The ${name(place)}`).join(", ")} ${leaning.length === 1 ? "does" : "do"} not.`;
  return <Panel title="Position on the screen" about={about} picture={picture} table={table} />;
}
