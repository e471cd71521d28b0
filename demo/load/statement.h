/* SPDX-License-Identifier: MIT
 *
 * What connections and statements of a lane allocate.
 */
#ifndef EBB_LOAD_STATEMENT_H
#define EBB_LOAD_STATEMENT_H

#include "lane.h"

/* The network buffer of a connection between statements. */
#define NET_BUFFER_BYTES 16384u

/* No connection holds less: the network buffer and the first block of the memory root. */
#define CONN_MIN_BYTES (NET_BUFFER_BYTES + 8192u)

void conn_open(struct lane *l, struct conn *c);

/* Ends the statement in flight, if any, and frees all that the connection holds. */
void conn_close(struct lane *l, struct conn *c);

void statement_begin(struct lane *l, struct conn *c);
void statement_end(struct lane *l, struct conn *c);

/* The size of an item, a name or a control block. */
uint32_t item_bytes(struct rng *r);

#endif
