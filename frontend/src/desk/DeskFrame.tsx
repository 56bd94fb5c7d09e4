import { type ReactNode, useCallback, useState } from "react";
import { cx } from "../look/cx";
import { useTitle } from "../look/Page";
import { Spoken } from "../look/states";
import styles from "./Desk.module.css";
import { Guidelines } from "./Guidelines";
import { NewGuidelines } from "./NewGuidelines";

interface Props {
  title: string;
  /** What the browser's tab says, when it is more than the title. */
  tab?: string;
  slug: string;
  wide?: boolean;
  /** The version of the guidelines that the task in front was handed out under. */
  under?: number | null;
  children: (openGuidelines: () => void) => ReactNode;
}

/** A desk: the work, and the guidelines beside it. */
export function DeskFrame({ title, tab, slug, wide = false, under = null, children }: Props) {
  const [guide, setGuide] = useState(false);
  const toggle = useCallback(() => { setGuide((open) => !open); }, []);
  useTitle(tab ?? title);
  return (
    <main id="main" tabIndex={-1} className={cx(styles["main"], wide && styles["broad"], guide && styles["guided"])}>
      <div className={styles["work"]}>
        <h1 className={styles["name"]}>
          <Spoken>{title}</Spoken>
        </h1>
        {children(toggle)}
      </div>
      <NewGuidelines slug={slug} under={under} />
      {guide && <Guidelines slug={slug} onClose={toggle} />}
    </main>
  );
}
