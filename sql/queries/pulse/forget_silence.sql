-- store::pulse::forget_silence: this instance changes nothing any more.
delete from silences where instance = $1
