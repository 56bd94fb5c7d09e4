import { Component, type ReactNode } from "react";
import { Button } from "../look/Button";
import { Page } from "../look/Page";
import { ErrorNote } from "../look/states";

interface Props {
  /** Another page clears what broke on this one. */
  place: string;
  children: ReactNode;
}

interface State {
  broken: Error | null;
  place: string;
}

/** A page that breaks says so instead of vanishing; most often a new version was deployed and a reload mends it. */
export class Boundary extends Component<Props, State> {
  override state: State = { broken: null, place: this.props.place };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { broken: error instanceof Error ? error : new Error("Something broke.") };
  }

  static getDerivedStateFromProps(props: Props, state: State): Partial<State> | null {
    return props.place === state.place ? null : { broken: null, place: props.place };
  }

  override render(): ReactNode {
    if (this.state.broken === null) return this.props.children;
    return (
      <Page title="This page broke" narrow>
        <ErrorNote error={this.state.broken} safe="What was saved is safe." />
        <div>
          <Button look="go" onClick={() => { window.location.reload(); }}>
            Load it again
          </Button>
        </div>
      </Page>
    );
  }
}
