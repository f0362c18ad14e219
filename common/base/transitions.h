/* State machines whose transitions are checked: a table gives for each state the set of the states
 * that may follow it, and STATE_SET() is the only way that a state changes.
 *
 * A transition that the table does not allow is a mistake in the program, whatever a peer or a disk
 * does. assert() ends the process then; a build that defines NDEBUG (Release) does not check. */
#pragma once

#include <assert.h>
#include <stdint.h>

/* The set of one state, for the rows of a table of uint8_t. There are at most 8 states. */
#define STATE_BIT(state) (1U << (state))

/* Changes `state`, an lvalue, to `next`. The arguments are evaluated more than once. Without
 * assert() nothing else uses the table. */
#define STATE_SET(table, state, next)                                                              \
    (assert(((table)[state] & STATE_BIT(next)) != 0), (void)(table), (state) = (next))
