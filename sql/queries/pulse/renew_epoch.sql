-- store::pulse::renew_epoch: gives the database a new epoch, unless another instance has done so since $1 was read.
update deployment set epoch = gen_random_uuid() where epoch = $1
