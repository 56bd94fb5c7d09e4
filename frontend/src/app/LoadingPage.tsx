import { Skeleton, Spoken } from "../look/states";
import styles from "./Shell.module.css";

/** The shape of a page whose code is on its way. */
export function LoadingPage() {
  return (
    <main id="main" tabIndex={-1} className={styles["loading"]}>
      <h1 className={styles["unseen"]}>
        <Spoken>Loading</Spoken>
      </h1>
      <Skeleton blocks={1} />
    </main>
  );
}
