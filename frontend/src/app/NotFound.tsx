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
  return (
    <Page title="Welcome" narrow>
      <Empty title="You are in no project yet">An admin can add you to one; it then appears here.</Empty>
    </Page>
  );
}
