import { Link } from "react-router";
import type { CheckpointDetail, Relative } from "../api/shapes";
import { Card } from "../look/Card";
import { Quiet } from "../look/states";
import styles from "./Models.module.css";

/** Parents to the left, this one in the middle, children to the right. */
export function Lineage({ checkpoint }: { checkpoint: CheckpointDetail }) {
  return (
    <Card title="Lineage">
      <div className={styles["lineage"]}>
        <Generation name="Parents" relatives={checkpoint.parents} none="It has no parents here." />
        <Arrow />
        <div className={styles["generation"]}>
          <span className={styles["self"]}>{checkpoint.name}</span>
        </div>
        <Arrow />
        <Generation name="Children" relatives={checkpoint.children} none="None yet." />
      </div>
    </Card>
  );
}

function Generation({ name, relatives, none }: { name: string; relatives: readonly Relative[]; none: string }) {
  return (
    <div className={styles["generation"]}>
      <h3>{name}</h3>
      {relatives.length === 0 && <Quiet>{none}</Quiet>}
      <ul>
        {relatives.map((each) => (
          <li key={each.id}>
            <Link className={styles["relative"]} to={`../models/${String(each.id)}`} data-kind={each.kind}>
              {each.name}
              <span>{each.kind === "policy" ? "policy" : "reward model"}</span>
            </Link>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Arrow() {
  return (
    <svg className={styles["arrow"]} width="40" height="12" viewBox="0 0 40 12" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <path d="M0 6h37M32 1l5.5 5L32 11" strokeLinejoin="round" strokeLinecap="round" />
    </svg>
  );
}
