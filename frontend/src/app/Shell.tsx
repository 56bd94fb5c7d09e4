import { type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { Link, NavLink, Outlet, useLocation, useMatch, useNavigate } from "react-router";
import { useSession, useSignOut } from "../api/session";
import { useOutbox } from "../desk/useOutbox";
import { useShortcuts } from "../keys/shortcuts";
import { Kbd } from "../look/Kbd";
import { Mark } from "../look/Mark";
import { cx } from "../look/cx";
import { BarPlace } from "../look/PageBar";
import { LoadingPage } from "./LoadingPage";
import { Boundary } from "./Boundary";
import { liesIn, placesFor } from "./nav";
import styles from "./Shell.module.css";

/** The frame around every page of someone who is signed in: where they are, where they can go, who they are. */
export function Shell({ onHelp }: { onHelp: () => void }) {
  const { pathname } = useLocation();
  const [bar, setBar] = useState<HTMLElement | null>(null);
  const session = useSession().data;
  const slug = useSlugInSight();
  const membership = session?.memberships.find((each) => each.project.slug === slug);
  const places = placesFor(membership?.role ?? null);
  useShortcuts("Everywhere", [{ keys: "?", does: "Show the keys of this page", run: onHelp }]);
  useFocusOnNewPage();
  useOutbox(session?.user.id);
  const labels = places.some((place) => place.path === "rank");
  const project = `/p/${slug ?? ""}`;
  const below = pathname.startsWith(`${project}/`) || pathname === project ? pathname.slice(project.length + 1) : null;
  const here = below === null ? undefined : places.find((place) => liesIn(place, below));
  const links = places.map((place) => (
    <Link key={place.name} to={`${project}${place.path && `/${place.path}`}`} aria-current={place === here ? "page" : undefined}>
      {place.name}
    </Link>
  ));
  return (
    <div className={cx(styles["shell"], here?.pages && styles["tall"])}>
      <a className={styles["skip"]} href="#main">
        Skip to the page
      </a>
      <header className={styles["header"]}>
        <Link className={styles["mark"]} to="/">
          <Mark />
          <span>Laurel</span>
        </Link>
        <nav className={styles["tabs"]} data-sideways="paper" aria-label="Pages">
          {links}
        </nav>
        <div className={styles["place"]} ref={setBar} />
        <div className={styles["wide"]}>
          <ProjectSwitch slug={slug} />
        </div>
        <Menu onHelp={onHelp} slug={slug} mine={labels && membership?.role !== "annotator"} name={session?.user.name ?? session?.user.username ?? ""}>
          {links}
        </Menu>
      </header>
      {here?.pages && (
        <nav className={styles["pages"]} data-sideways="paper" aria-label={`Pages of ${here.name}`}>
          {here.pages.map((page) => (
            <NavLink key={page.path} to={`${project}/${page.path}`}>
              {page.name}
            </NavLink>
          ))}
        </nav>
      )}
      <BarPlace value={bar}>
        <Boundary place={pathname}>
          <Suspense fallback={<LoadingPage />}>
            <Outlet />
          </Suspense>
        </Boundary>
      </BarPlace>
    </div>
  );
}

/** The project that is open; on a page outside of projects, the one that was open last, else one's first. */
function useSlugInSight(): string | undefined {
  const open = useMatch("/p/:slug/*")?.params.slug;
  const first = useSession().data?.memberships[0]?.project.slug;
  const [last, setLast] = useState(open);
  if (open !== undefined && open !== last) setLast(open);
  return open ?? last ?? first;
}

function ProjectSwitch({ slug }: { slug: string | undefined }) {
  const navigate = useNavigate();
  const memberships = useSession().data?.memberships ?? [];
  if (memberships.length === 0) return null;
  return (
    <select
      className={styles["project"]}
      aria-label="Project"
      value={slug ?? ""}
      onChange={(event) => void navigate(`/p/${event.target.value}`)}
    >
      {slug === undefined && <option value="">Choose a project</option>}
      {memberships.map(({ project }) => (
        <option key={project.slug} value={project.slug}>
          {project.name}
        </option>
      ))}
    </select>
  );
}

interface MenuProps {
  name: string;
  slug: string | undefined;
  /** Whether someone whose start page is another one labels too. */
  mine: boolean;
  onHelp: () => void;
  children: ReactNode;
}

function Menu({ name, slug, mine, onHelp, children }: MenuProps) {
  const mayCreate = useSession().data?.may_create_projects === true;
  const details = useRef<HTMLDetailsElement>(null);
  const signOut = useSignOut();
  const { pathname } = useLocation();
  useEffect(() => {
    if (details.current) details.current.open = false;
  }, [pathname]);
  useEffect(() => {
    const close = (event: Event): void => {
      const menu = details.current;
      if (menu === null || !menu.open) return;
      if (event instanceof KeyboardEvent ? event.key === "Escape" : !menu.contains(event.target as Node)) menu.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details className={styles["menu"]} ref={details}>
      <summary>Menu</summary>
      <div className={styles["sheet"]}>
        <span className={styles["who"]}>Signed in as {name}</span>
        <div className={styles["phone"]}>
          <ProjectSwitch slug={slug} />
        </div>
        <div className={styles["only-phone"]}>{children}</div>
        {mine && <NavLink to={`/p/${slug ?? ""}/mine`}>What you did</NavLink>}
        {mayCreate && <NavLink to="/new-project">New project</NavLink>}
        <NavLink to="/tokens">Access tokens</NavLink>
        <NavLink to="/password">Password</NavLink>
        <button type="button" onClick={onHelp}>
          Keys <Kbd>?</Kbd>
        </button>
        <button type="button" onClick={() => { signOut.mutate(); }}>
          Sign out
        </button>
      </div>
    </details>
  );
}

/** A new page is announced: focus goes to its start, unless the page has put it somewhere better. */
function useFocusOnNewPage(): void {
  const { pathname } = useLocation();
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [pathname]);
}
