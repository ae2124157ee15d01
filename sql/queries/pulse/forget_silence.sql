-- store::pulse::forget_silence: this instance makes no more changes.
delete from silences where instance = $1
