import { useDeferredValue, useState } from "react";
import { messageOf } from "../api/client";
import { exportPerson, useChangeMember, useDecideQualification, useMembers, useQualifications } from "../api/members";
import { useRole, useSlug } from "../api/project";
import type { Member, Qualification, Role } from "../api/shapes";
import { useWhole } from "../api/whole";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { Table } from "../look/Table";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import { EraseDialog } from "./EraseDialog";
import { Invitations } from "./Invitations";
import styles from "./People.module.css";
import { isErased, qualificationWords, ROLE_NAMES, ROLES } from "./words";

/** The people of a project: who may do what, who is invited, and one person's data. */
export function PeoplePage() {
  const slug = useSlug();
  const leads = useRole() === "admin";
  const [text, setText] = useState("");
  const wanted = useDeferredValue(text.trim());
  const members = useMembers(slug, wanted);
  const qualifications = useQualifications(slug);
  useWhole(qualifications);
  const [erasing, setErasing] = useState<Member | null>(null);
  const rows = members.data?.pages.flatMap((page) => page.results) ?? [];
  const decided = qualifications.data?.pages.flatMap((page) => page.results) ?? [];
  const of = (member: Member): Qualification | undefined => decided.find((each) => each.annotator === member.user.id);
  const search = (
    <input
      type="search"
      className={styles["search"]}
      aria-label="Look for a name"
      placeholder="Look for a name"
      maxLength={100}
      value={text}
      onChange={(event) => { setText(event.target.value); }}
    />
  );
  return (
    <Page title="People" about="Whoever belongs to the project, or did: what they said stays, whatever becomes of them." actions={search}>
      {members.isPending && <Skeleton lines={5} />}
      {members.isError && <ErrorNote error={members.error} onRetry={() => void members.refetch()} />}
      {members.data && rows.length === 0 && <Empty title="Nobody is called that">Names and user names are looked through.</Empty>}
      {rows.length > 0 && (
        <Table
          caption="People"
          rows={rows}
          id={(row) => row.user.id}
          columns={[
            { name: "Person", show: (row) => <Who member={row} /> },
            { name: "Role", show: (row) => <RoleOf slug={slug} member={row} mayChange={leads && row.deactivated_at === null} /> },
            { name: "Standing", show: (row) => <Standing member={row} qualification={of(row)} /> },
            { name: "Last seen", number: true, minor: true, show: (row) => (row.last_seen_at === null ? <Quiet>never</Quiet> : <Time at={row.last_seen_at} />) },
            ...(leads
              ? [{ name: "", number: true, show: (row: Member) => <Actions slug={slug} member={row} qualification={of(row)} onErase={() => { setErasing(row); }} /> }]
              : []),
          ]}
        />
      )}
      {members.hasNextPage && (
        <div>
          <Button onClick={() => void members.fetchNextPage()}>Who came before</Button>
        </div>
      )}
      {leads && <Invitations slug={slug} />}
      <Card title="What each role may do">
        <dl className={styles["stack"]}>
          {ROLE_NAMES.map((role) => (
            <div key={role}>
              <dt>
                <b>{ROLES[role].name}</b>
              </dt>
              <dd>{ROLES[role].may}</dd>
            </div>
          ))}
        </dl>
      </Card>
      {erasing && <EraseDialog slug={slug} member={erasing} onClose={() => { setErasing(null); }} />}
    </Page>
  );
}

function Who({ member }: { member: Member }) {
  const { user } = member;
  return (
    <div className={styles["who"]}>
      <b>{user.name}</b>
      {user.username !== user.name && <Quiet>{user.username}</Quiet>}
    </div>
  );
}

function Standing({ member, qualification }: { member: Member; qualification: Qualification | undefined }) {
  const { deactivated_at: left, has_account: account, is_simulated: simulated } = member;
  return (
    <>
      {simulated && <Tag tone="idle">simulated</Tag>}
      {!simulated && !account && <Tag tone="idle">{isErased(member) ? "erased" : "from a file"}</Tag>}
      {account && left !== null && (
        <Tag tone="warn">
          deactivated <Time at={left} />
        </Tag>
      )}
      {left === null && qualification !== undefined && <Tag tone={qualification.state === "failed" ? "warn" : "good"}>{qualificationWords(qualification)}</Tag>}
    </>
  );
}

function RoleOf({ slug, member, mayChange }: { slug: string; member: Member; mayChange: boolean }) {
  const change = useChangeMember(slug);
  const { say } = useToasts();
  const { user, role } = member;
  if (!mayChange) return <>{ROLES[role].name}</>;
  const refused = { onError: (error: Error) => { say(messageOf(error)); } };
  const choose = (wanted: Role): void => {
    change.mutate(
      { user: user.id, role: wanted },
      {
        onSuccess: () => {
          say(`${user.name} is ${ROLES[wanted].name.toLowerCase()} now.`, () => { change.mutate({ user: user.id, role }, refused); });
        },
        ...refused,
      },
    );
  };
  return (
    <select className={styles["role"]} aria-label={`Role of ${user.name}`} value={role} disabled={change.isPending} onChange={(event) => { choose(event.target.value as Role); }}>
      {ROLE_NAMES.map((each) => (
        <option key={each} value={each}>
          {ROLES[each].name}
        </option>
      ))}
    </select>
  );
}

interface ActionsProps {
  slug: string;
  member: Member;
  qualification: Qualification | undefined;
  onErase: () => void;
}

function Actions({ slug, member, qualification, onErase }: ActionsProps) {
  const change = useChangeMember(slug);
  const decide = useDecideQualification(slug);
  const { say } = useToasts();
  const { user, deactivated_at: left, has_account: account } = member;
  const refused = { onError: (error: Error) => { say(messageOf(error)); } };
  const set = (active: boolean): void => {
    change.mutate(
      { user: user.id, active },
      {
        onSuccess: () => {
          say(active ? `${user.name} is back.` : `${user.name} is out; what they held went back.`, () => { change.mutate({ user: user.id, active: !active }, refused); });
        },
        ...refused,
      },
    );
  };
  const save = (): void => {
    exportPerson(slug, user.id)
      .then((data) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }));
        link.download = `${user.username}.json`;
        link.click();
        URL.revokeObjectURL(link.href);
      })
      .catch((error: unknown) => { say(messageOf(error)); });
  };
  return (
    <div className={styles["actions"]}>
      {qualification?.state === "failed" && left === null && (
        <>
          <Button small look="quiet" onClick={() => { decide.mutate({ user: user.id, state: "passed" }, refused); }} aria-label={`Let ${user.name} work`}>
            Let them work
          </Button>
          <Button small look="quiet" onClick={() => { decide.mutate({ user: user.id, state: "again" }, refused); }} aria-label={`Let ${user.name} try again`}>
            Try again
          </Button>
        </>
      )}
      {account && (
        <Button small look="quiet" disabled={change.isPending} onClick={() => { set(left !== null); }} aria-label={`${left === null ? "Deactivate" : "Reactivate"} ${user.name}`}>
          {left === null ? "Deactivate" : "Reactivate"}
        </Button>
      )}
      <Button small look="quiet" onClick={save} aria-label={`Export the data of ${user.name}`}>
        Export
      </Button>
      {!isErased(member) && (
        <Button small look="quiet" onClick={onErase} aria-label={`Erase the data of ${user.name}`}>
          Erase…
        </Button>
      )}
    </div>
  );
}
