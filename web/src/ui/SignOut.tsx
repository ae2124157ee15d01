import { useClient } from "../hooks";
import { useWords } from "../i18n";
import { Dialog } from "./Dialog";

/** Asks a guest, who cannot sign in again, before the workshop is left. */
export default function SignOut({ onClose, onRegister }: { onClose(): void; onRegister(): void }) {
  const client = useClient();
  const { m } = useWords();
  const leave = () => {
    onClose();
    void client.signOut().catch(() => client.game.lost());
  };
  return (
    <Dialog title={m.account.signOutGuest} onClose={onClose}>
      <p>{m.account.signOutGuestAsk}</p>
      <div className="actions">
        <button type="button" data-testid="sign-out-confirm" onClick={leave}>
          {m.account.leave}
        </button>
        <button type="button" className="primary" onClick={onRegister}>
          {m.account.register}
        </button>
      </div>
    </Dialog>
  );
}
