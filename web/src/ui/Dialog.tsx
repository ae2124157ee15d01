import { type ReactNode, useEffect, useId, useRef } from "react";
import css from "./dialog.module.css";

/** A modal dialog. It closes by Escape, and when its backdrop is clicked. */
export function Dialog({ title, onClose, children }: { title: string; onClose(): void; children: ReactNode }) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog
    <dialog
      ref={element}
      className={css.dialog}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div className={css.body}>
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}
