import type { Role } from "../api/session";

interface Place {
  /** Address under the project. */
  path: string;
  name: string;
  roles: readonly Role[];
  /** The pages that share this tab, the first of them being the one that it opens. */
  pages?: readonly { path: string; name: string }[];
}

const LABELERS: readonly Role[] = ["annotator", "reviewer", "admin"];
const READERS: readonly Role[] = ["reviewer", "researcher", "admin"];

/** Where one can go, in the order of the tabs. */
const PLACES: readonly Place[] = [
  { path: "", name: "Home", roles: ["annotator"] },
  { path: "", name: "Loop", roles: READERS },
  { path: "rank", name: "Rank", roles: LABELERS },
  { path: "demonstrate", name: "Demonstrate", roles: LABELERS },
  { path: "converse", name: "Converse", roles: LABELERS },
  {
    path: "quality",
    name: "Labels",
    roles: READERS,
    pages: [
      { path: "quality", name: "Quality" },
      { path: "review", name: "Review" },
      { path: "prompts", name: "Prompts" },
    ],
  },
  { path: "chat", name: "Chat", roles: ["annotator", "reviewer", "researcher", "admin"] },
  { path: "jobs", name: "Jobs", roles: READERS },
  { path: "schedules", name: "Schedules", roles: READERS },
  { path: "models", name: "Models", roles: READERS },
  { path: "datasets", name: "Datasets", roles: READERS },
  {
    path: "settings",
    name: "Project",
    roles: READERS,
    pages: [
      { path: "settings", name: "Settings" },
      { path: "people", name: "People" },
      { path: "deeds", name: "Who did what" },
    ],
  },
];

export function placesFor(role: Role | null): readonly Place[] {
  return PLACES.filter((place) => role !== null && place.roles.includes(role));
}

/** Whether an address below a project lies in a place. */
export function liesIn(place: Place, path: string): boolean {
  const first = path.split("/")[0] ?? "";
  return (place.pages?.map((page) => page.path) ?? [place.path]).includes(first);
}
