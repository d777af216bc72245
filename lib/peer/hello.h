/* SPDX-License-Identifier: BSD-3-Clause */
/* The two shapes of handshake datagrams: what stands in the clear around the Noise message, and the payload
 * inside it, in which each end introduces itself. */
#pragma once

#include "lode_noise.h"
#include "lode_peer.h"

/* ---- frame: 8 bytes of header, Noise message, mac1, and in initiations mac2 ---- */

#define FRAME_BYTES   8
#define FRAME_VERSION 1 /* of handshake datagrams; what is agreed inside concerns the others */
#define MAC_BYTES     LODE_NOISE_MAC_BYTES

struct frame {
	uint8_t type;		   /* enum lode_wire_type */
	uint8_t pattern;	   /* enum lode_noise_pattern */
	uint16_t receiver, sender; /* session indexes; 0: not known, none */
};
void frame_put(uint8_t *b, const struct frame *f);
/* b holds FRAME_BYTES. -EBADMSG: not a handshake that this version can read. */
int frame_get(const uint8_t *b, struct frame *f);

/* ---- payload ---- */

struct hello {
	uint64_t counter;  /* initiator's, never used before; the response returns it */
	uint64_t instance; /* random, drawn when the peer was made: another one means lost memory */
	uint64_t features;
	uint16_t session; /* the sender's epoch: what it wants to read in the header of packets */
	uint8_t key_phase;
	uint8_t version_min, version_max;
	uint8_t accepted; /* response: path ids of the initiator's table that it has too */
	uint16_t
		udp_port; /* of the sender's worker 0: the others are told apart by distance to it */
	struct lode_wire_lanes lanes;
	bool has_links;
	struct lode_wire_links links; /* initiation: path id -> name */
};
#define HELLO_FIXED_BYTES 32
/* Bytes written, or -ENOSPC. */
int hello_put(const struct hello *h, uint8_t *buf, size_t size);
int hello_get(const uint8_t *buf, size_t len, struct hello *h);
