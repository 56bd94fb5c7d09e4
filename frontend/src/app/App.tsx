import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { BrowserRouter } from "react-router";
import { ApiError } from "../api/client";
import { KeysProvider, useHelp } from "../keys/shortcuts";
import { ToastProvider } from "../look/toasts";
import { HelpOverlay } from "./HelpOverlay";
import { Pages } from "./Pages";

function forgetSession(error: unknown): void {
  if (error instanceof ApiError && error.status === 401) void queries.invalidateQueries({ queryKey: ["session"] });
}

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: forgetSession }),
  mutationCache: new MutationCache({ onError: forgetSession }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      networkMode: "always",
      retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      retryDelay: (count) => 400 * 2 ** count,
    },
    mutations: { networkMode: "always" },
  },
});

export function App() {
  const help = useHelp();
  return (
    <QueryClientProvider client={queries}>
      <BrowserRouter>
        <ToastProvider>
          <KeysProvider onHelp={help.open}>
            <Pages onHelp={help.open} />
            {help.isOpen && <HelpOverlay onClose={help.close} />}
          </KeysProvider>
        </ToastProvider>
      </BrowserRouter>
    </QueryClientProvider>
  );
}
