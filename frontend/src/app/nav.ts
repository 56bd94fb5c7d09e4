import type { Role } from "../api/session";

export interface Place {
  /** Address under the project. */
  path: string;
  name: string;
  roles: readonly Role[];
}

const LABELERS: readonly Role[] = ["annotator", "reviewer", "admin"];
const READERS: readonly Role[] = ["reviewer", "researcher", "admin"];

/** Where one can go, in the order of the tabs. */
export const PLACES: readonly Place[] = [
  { path: "", name: "Home", roles: ["annotator"] },
  { path: "", name: "Loop", roles: READERS },
  { path: "rank", name: "Rank", roles: LABELERS },
  { path: "demonstrate", name: "Demonstrate", roles: LABELERS },
  { path: "chat", name: "Chat", roles: ["annotator", "reviewer", "researcher", "admin"] },
  { path: "jobs", name: "Jobs", roles: READERS },
  { path: "schedules", name: "Schedules", roles: READERS },
  { path: "models", name: "Models", roles: READERS },
  { path: "datasets", name: "Datasets", roles: READERS },
];

export function placesFor(role: Role | null): readonly Place[] {
  return PLACES.filter((place) => role !== null && place.roles.includes(role));
}
