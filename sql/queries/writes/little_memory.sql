-- store::writes::check_writes: with this setting the data of the transaction's next statement does not fit into memory.
set local work_mem = '64kB'
