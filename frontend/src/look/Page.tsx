import { type ReactNode, useEffect } from "react";
import { Link } from "react-router";
import { cx } from "./cx";
import styles from "./Page.module.css";

interface Props {
  title: string;
  /** What the browser's tab says, when it is more than the title: "64 % · PPO". */
  tab?: string;
  about?: ReactNode;
  back?: { to: string; name: string };
  tags?: ReactNode;
  actions?: ReactNode;
  narrow?: boolean;
  children: ReactNode;
}

/** The tab of the browser says where we are. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Laurel`;
  }, [title]);
}

export function Page({ title, tab, about, back, tags, actions, narrow = false, children }: Props) {
  useTitle(tab ?? title);
  return (
    <main id="main" tabIndex={-1} className={cx(styles["page"], narrow && styles["narrow"])}>
      <div className={styles["head"]}>
        <div className={styles["words"]}>
          {back && (
            <p className={styles["crumb"]}>
              <Link to={back.to}>{back.name}</Link>
            </p>
          )}
          <div className={styles["title"]}>
            <h1>{title}</h1>
            {tags}
          </div>
          {about !== undefined && <p className={styles["about"]}>{about}</p>}
        </div>
        {actions !== undefined && <div className={styles["actions"]}>{actions}</div>}
      </div>
      {children}
    </main>
  );
}
