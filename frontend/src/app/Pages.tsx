import { lazy, Suspense } from "react";
import { Navigate, Route, Routes, useLocation } from "react-router";
import { useRole, useSlug } from "../api/project";
import { useSession } from "../api/session";
import { HomePage } from "../home/HomePage";
import { Page } from "../look/Page";
import { ErrorNote } from "../look/states";
import { SignInPage } from "../signin/SignInPage";
import { LoadingPage } from "./LoadingPage";
import { placesFor } from "./nav";
import { NotFound, NoProject } from "./NotFound";
import { Shell } from "./Shell";

const RankPage = lazy(() => import("../rank/RankPage").then((each) => ({ default: each.RankPage })));
const ChatPage = lazy(() => import("../chat/ChatPage").then((each) => ({ default: each.ChatPage })));
const ConversePage = lazy(() => import("../converse/ConversePage").then((each) => ({ default: each.ConversePage })));
const ChangeRankingPage = lazy(() => import("../rank/ChangeRankingPage").then((each) => ({ default: each.ChangeRankingPage })));
const ChangeDemonstrationPage = lazy(() => import("../demonstrate/ChangeDemonstrationPage").then((each) => ({ default: each.ChangeDemonstrationPage })));
const JobsPage = lazy(() => import("../jobs/JobsPage").then((each) => ({ default: each.JobsPage })));
const NewJobPage = lazy(() => import("../jobs/NewJobPage").then((each) => ({ default: each.NewJobPage })));
const JobPage = lazy(() => import("../jobs/JobPage").then((each) => ({ default: each.JobPage })));
const SchedulesPage = lazy(() => import("../schedules/SchedulesPage").then((each) => ({ default: each.SchedulesPage })));
const SchedulePage = lazy(() => import("../schedules/SchedulePage").then((each) => ({ default: each.SchedulePage })));
const ModelsPage = lazy(() => import("../models/ModelsPage").then((each) => ({ default: each.ModelsPage })));
const ModelPage = lazy(() => import("../models/ModelPage").then((each) => ({ default: each.ModelPage })));
const DatasetsPage = lazy(() => import("../datasets/DatasetsPage").then((each) => ({ default: each.DatasetsPage })));
const DatasetPage = lazy(() => import("../datasets/DatasetPage").then((each) => ({ default: each.DatasetPage })));
const LoopPage = lazy(() => import("../loop/LoopPage").then((each) => ({ default: each.LoopPage })));
const QualityPage = lazy(() => import("../quality/QualityPage").then((each) => ({ default: each.QualityPage })));
const ReviewPage = lazy(() => import("../review/ReviewPage").then((each) => ({ default: each.ReviewPage })));
const TaskPage = lazy(() => import("../review/TaskPage").then((each) => ({ default: each.TaskPage })));
const PromptsPage = lazy(() => import("../prompts/PromptsPage").then((each) => ({ default: each.PromptsPage })));
const ImportPage = lazy(() => import("../prompts/ImportPage").then((each) => ({ default: each.ImportPage })));
const SettingsPage = lazy(() => import("../settings/SettingsPage").then((each) => ({ default: each.SettingsPage })));
const NewProjectPage = lazy(() => import("../settings/NewProjectPage").then((each) => ({ default: each.NewProjectPage })));
const PeoplePage = lazy(() => import("../people/PeoplePage").then((each) => ({ default: each.PeoplePage })));
const DeedsPage = lazy(() => import("../people/DeedsPage").then((each) => ({ default: each.DeedsPage })));
const JoinPage = lazy(() => import("../people/JoinPage").then((each) => ({ default: each.JoinPage })));
const PasswordPage = lazy(() => import("../signin/PasswordPage").then((each) => ({ default: each.PasswordPage })));
const TokensPage = lazy(() => import("../tokens/TokensPage").then((each) => ({ default: each.TokensPage })));
const DemonstratePage = lazy(() => import("../demonstrate/DemonstratePage").then((each) => ({ default: each.DemonstratePage })));

/** Which page an address opens, for whom. */
export function Pages({ onHelp }: { onHelp: () => void }) {
  const session = useSession();
  const location = useLocation();
  if (session.isPending) return <LoadingPage />;
  if (session.isError) {
    return (
      <Page title="Laurel" narrow>
        <ErrorNote error={session.error} safe="Nothing of yours is lost." onRetry={() => void session.refetch()} />
      </Page>
    );
  }
  if (session.data === null) {
    return (
      <Routes>
        <Route path="/sign-in" element={<SignInPage />} />
        <Route path="/join/:token" element={<Join />} />
        <Route path="*" element={<Navigate to="/sign-in" replace state={{ from: location.pathname }} />} />
      </Routes>
    );
  }
  const first = session.data.memberships[0]?.project.slug;
  const from = (location.state as { from?: string } | null)?.from;
  const home = from !== undefined && from !== "/" ? from : first === undefined ? "/no-project" : `/p/${first}`;
  return (
    <Routes>
      <Route path="/sign-in" element={<Navigate to={home} replace />} />
      <Route path="/" element={<Navigate to={home} replace />} />
      <Route path="/join/:token" element={<Join />} />
      <Route element={<Shell onHelp={onHelp} />}>
        <Route path="/tokens" element={<TokensPage />} />
        <Route path="/password" element={<PasswordPage />} />
        <Route path="/new-project" element={<NewProjectPage />} />
        <Route path="/no-project" element={<NoProject />} />
        <Route path="/p/:slug/*" element={<ProjectPages />} />
        <Route path="*" element={<NotFound />} />
      </Route>
    </Routes>
  );
}

function Join() {
  return (
    <Suspense fallback={<LoadingPage />}>
      <JoinPage />
    </Suspense>
  );
}

function ProjectPages() {
  const role = useRole();
  const slug = useSlug();
  const paths = placesFor(role).map((place) => place.path);
  if (role === null) return <NotFound />;
  return (
    <Suspense fallback={<LoadingPage />}>
      <Routes>
        <Route index element={role === "annotator" ? <HomePage /> : <LoopPage />} />
        {paths.includes("rank") && (
          <Route path="rank">
            <Route index element={<RankPage key={slug} />} />
            <Route path=":lease" element={<ChangeRankingPage />} />
          </Route>
        )}
        {paths.includes("demonstrate") && (
          <Route path="demonstrate">
            <Route index element={<DemonstratePage key={slug} />} />
            <Route path=":lease" element={<ChangeDemonstrationPage />} />
          </Route>
        )}
        {paths.includes("converse") && <Route path="converse" element={<ConversePage key={slug} />} />}
        {paths.includes("rank") && <Route path="mine" element={<HomePage />} />}
        {paths.includes("chat") && <Route path="chat" element={<ChatPage />} />}
        {paths.includes("jobs") && (
          <Route path="jobs">
            <Route index element={<JobsPage />} />
            <Route path="new" element={<NewJobPage />} />
            <Route path=":id" element={<JobPage />} />
          </Route>
        )}
        {paths.includes("schedules") && (
          <Route path="schedules">
            <Route index element={<SchedulesPage />} />
            <Route path="new" element={<SchedulePage />} />
            <Route path=":id" element={<SchedulePage />} />
          </Route>
        )}
        {paths.includes("models") && (
          <Route path="models">
            <Route index element={<ModelsPage />} />
            <Route path=":id" element={<ModelPage />} />
          </Route>
        )}
        {paths.includes("datasets") && (
          <Route path="datasets">
            <Route index element={<DatasetsPage />} />
            <Route path=":id" element={<DatasetPage />} />
          </Route>
        )}
        {paths.includes("quality") && (
          <>
            <Route path="quality" element={<QualityPage />} />
            <Route path="review">
              <Route index element={<ReviewPage />} />
              <Route path=":id" element={<TaskPage />} />
            </Route>
            <Route path="prompts">
              <Route index element={<PromptsPage />} />
              <Route path="import" element={<ImportPage />} />
            </Route>
          </>
        )}
        {paths.includes("settings") && (
          <>
            <Route path="settings" element={<SettingsPage key={slug} />} />
            <Route path="people" element={<PeoplePage />} />
            <Route path="deeds" element={<DeedsPage />} />
          </>
        )}
        <Route path="*" element={<NotFound />} />
      </Routes>
    </Suspense>
  );
}
