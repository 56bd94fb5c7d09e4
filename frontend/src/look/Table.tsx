import type { ReactNode } from "react";
import { cx } from "./cx";
import styles from "./Table.module.css";

export interface Column<Row> {
  /** What heads it; empty over buttons that say for themselves what they do. */
  name: string;
  show: (row: Row) => ReactNode;
  /** Numbers stand at the end of their cell. */
  number?: boolean;
  /** Left out on a phone in tables that do not stack. */
  minor?: boolean;
}

interface Props<Row> {
  caption: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  id: (row: Row) => string | number;
  bare?: boolean;
}

/** A table that scrolls sideways by itself where there is no room, reachable by keyboard. */
export function Table<Row>({ caption, rows, columns, id, bare = false }: Props<Row>) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className={cx(styles["frame"], bare ? styles["bare"] : styles["stacks"])} data-sideways role="group" aria-label={caption} tabIndex={0}>
      <table className={styles["table"]}>
        <thead>
          <tr>
            {columns.map((column) =>
              column.name === "" ? (
                <td key="" className={classes(column)} />
              ) : (
                <th key={column.name} scope="col" className={classes(column)}>
                  {column.name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map((column) => (
                <td key={column.name} className={classes(column)} data-name={column.name}>
                  {column.show(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function classes<Row>(column: Column<Row>): string {
  return cx(column.number && styles["number"], column.minor && styles["minor"]);
}
