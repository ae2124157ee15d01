-- store::pulse::forget_silence: deletes the note of instance $1, which makes no more changes.
delete from silences where instance = $1
