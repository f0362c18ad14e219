/* How the ids of handled messages are kept, where the store is in PostgreSQL and is made. */
#pragma once

enum store_partitions { STORE_PARTITIONS_OFF, STORE_PARTITIONS_DAY };
