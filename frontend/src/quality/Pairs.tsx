import type { Quality } from "../api/shapes";
import { percent } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";
import { Panel } from "./Panel";
import styles from "./Quality.module.css";
import { alphaWords, shareWords } from "./words";

const AT_MOST = 10;

/** Who agrees with whom: a square of shades, the number in each. */
export function Pairs({ found }: { found: Quality }) {
  const names = new Map(found.people.map((each) => [each.id, each.name]));
  const shared = found.pairs.filter((pair) => pair.agreement.share !== null);
  const rows = shared.toSorted((one, other) => (one.agreement.share?.value ?? 0) - (other.agreement.share?.value ?? 0));
  const ids = found.people.map((each) => each.id).filter((id) => shared.some((pair) => pair.a === id || pair.b === id)).slice(0, AT_MOST);
  if (ids.length === 0) {
    return <Panel title="Who agrees with whom" picture={<Quiet>No two annotators have judged the same pairs yet.</Quiet>} table={<Quiet>There is nothing to count.</Quiet>} />;
  }
  const of = (one: number, other: number) => shared.find((pair) => (pair.a === one && pair.b === other) || (pair.a === other && pair.b === one))?.agreement.share ?? null;
  const picture = (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div data-sideways role="group" aria-label="Who agrees with whom" tabIndex={0}>
      <table className={styles["square"]}>
        <thead>
          <tr>
            <td />
            {ids.slice(0, -1).map((id) => (
              <th key={id} scope="col">
                <span>{names.get(id)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {ids.slice(1).map((row, index) => (
            <tr key={row}>
              <th scope="row">{names.get(row)}</th>
              {ids.slice(0, index + 1).map((column) => {
                const share = of(row, column);
                return (
                  <td key={column} style={share === null ? undefined : { "--share": Math.max(0, 2 * share.value - 1) } as React.CSSProperties} title={`${names.get(row) ?? ""} and ${names.get(column) ?? ""}: ${shareWords(share)}`}>
                    {share === null ? "" : percent(share.value)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
  const table = (
    <Table
      caption="Pairs of annotators, those who agree least first"
      bare
      rows={rows}
      id={(row) => `${String(row.a)} ${String(row.b)}`}
      columns={[
        { name: "Annotators", show: (row) => `${names.get(row.a) ?? ""} and ${names.get(row.b) ?? ""}` },
        { name: "Agree", number: true, show: (row) => shareWords(row.agreement.share) },
        { name: "κ", number: true, minor: true, show: (row) => alphaWords(row.agreement.kappa) },
        { name: "Comparisons", number: true, minor: true, show: (row) => Math.round(row.agreement.share?.count ?? 0).toLocaleString() },
      ]}
    />
  );
  const more = found.people.length > ids.length && ids.length === AT_MOST ? ` The ${String(AT_MOST)} who judged most; everyone is in the table.` : "";
  return <Panel title="Who agrees with whom" about={`Share of the pairs that both put in one order.${more}`} picture={picture} table={table} />;
}
