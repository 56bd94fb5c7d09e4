import { useSession } from "../api/session";
import { ButtonLink } from "../look/Button";
import { Page } from "../look/Page";
import { Empty } from "../look/states";

export function NotFound() {
  return (
    <Page title="Nothing here" narrow>
      <Empty title="This page does not exist, or it is not yours to see." action={<ButtonLink to="/">Go to your project</ButtonLink>}>
        The address may be mistyped, or the project may have given you another role.
      </Empty>
    </Page>
  );
}

export function NoProject() {
  const mayCreate = useSession().data?.may_create_projects === true;
  const create = mayCreate ? (
    <ButtonLink look="go" to="/new-project">
      Create a project
    </ButtonLink>
  ) : undefined;
  return (
    <Page title="Welcome" narrow>
      <Empty title="You are in no project yet" action={create}>
        An admin can invite you to one; it then appears here.
      </Empty>
    </Page>
  );
}
