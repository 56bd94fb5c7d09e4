import { type SubmitEvent, useState } from "react";
import { useNavigate } from "react-router";
import { ApiError } from "../api/client";
import { useSession } from "../api/session";
import { useCreateProject } from "../api/settings";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import { Page } from "../look/Page";
import { Empty, ErrorNote } from "../look/states";
import { wrongAt } from "../machine/order";
import styles from "./Settings.module.css";

/** A project from nothing; whoever creates it leads it. */
export function NewProjectPage() {
  const create = useCreateProject();
  const navigate = useNavigate();
  const mayCreate = useSession().data?.may_create_projects;
  const [said, setSaid] = useState({ name: "", slug: "", description: "" });
  const wrong = create.error instanceof ApiError ? create.error.fields : {};
  const field = (key: keyof typeof said) => ({
    value: said[key],
    onChange: (event: { target: { value: string } }) => { setSaid({ ...said, [key]: event.target.value }); },
  });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    create.mutate(
      { name: said.name.trim(), slug: said.slug.trim(), description: said.description.trim() },
      { onSuccess: (project) => void navigate(`/p/${project.slug}/settings`) },
    );
  };
  if (mayCreate === false) {
    return (
      <Page title="New project" narrow>
        <Empty title="Those who lead a project may create another one">Ask an admin of yours.</Empty>
      </Page>
    );
  }
  return (
    <Page title="New project" narrow about="You will lead it. Next come its guidelines, its prompts and its people.">
      <Card>
        <form className={styles["stack"]} onSubmit={submit}>
          <Field label="Name" wrong={wrongAt(wrong, "name")}>
            {(wiring) => <input {...wiring} required maxLength={150} {...field("name")} />}
          </Field>
          <Field label="Short name" hint="For addresses; it stays. Made of the name if you leave it empty." wrong={wrongAt(wrong, "slug")}>
            {(wiring) => <input {...wiring} maxLength={60} pattern="[\w\-]*" autoCapitalize="none" spellCheck={false} {...field("slug")} />}
          </Field>
          <Field label="About" hint="Annotators read it on their first page.">
            {(wiring) => <textarea {...wiring} rows={3} maxLength={10_000} {...field("description")} />}
          </Field>
          {create.isError && wrongAt(wrong, "slug") === undefined && <ErrorNote error={create.error} />}
          <div>
            <Button type="submit" look="go" disabled={create.isPending || said.name.trim() === ""}>
              {create.isPending ? "Creating…" : "Create the project"}
            </Button>
          </div>
        </form>
      </Card>
    </Page>
  );
}
