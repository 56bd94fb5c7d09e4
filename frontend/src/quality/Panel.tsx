import { type ReactNode, useState } from "react";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import styles from "./Quality.module.css";

interface Props {
  title: string;
  /** What one sees, in a sentence. */
  about?: ReactNode;
  picture: ReactNode;
  table: ReactNode;
}

/** A picture, with the table behind it one click away. */
export function Panel({ title, about, picture, table }: Props) {
  const [asTable, setTable] = useState(false);
  const other = asTable ? "Picture" : "Table";
  return (
    <Card
      title={title}
      className={styles["panel"]}
      aside={
        <Button look="quiet" small aria-pressed={asTable} aria-label={`${other} of ${title}`} onClick={() => { setTable(!asTable); }}>
          {other}
        </Button>
      }
    >
      {about !== undefined && <p className={styles["about"]}>{about}</p>}
      {asTable ? table : picture}
    </Card>
  );
}
