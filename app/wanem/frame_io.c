/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet sockets: bursts of frames in and out, with the kernel's arrival time. */
#include "wanem.h"

#include "lode_clock.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VNET_BYTES	 sizeof(struct virtio_net_hdr)
#define VLAN_BYTES	 4
#define SMALL_BYTES	 2048 /* frames up to the usual MTU; longer ones spill and are copied once */
#define SPILL_BYTES	 (128 * 1024)
#define SOCKET_BUF_BYTES (16 << 20)

struct frame_pool {
	struct frame *free; /* of SMALL_BYTES each */
	uint8_t *spill[BURST_MAX];
	struct frame *rx[BURST_MAX]; /* ready to be received into */
};

static struct frame *frame_get(struct frame_pool *pool, uint32_t size)
{
	struct frame *f = pool->free;
	if (f && size <= SMALL_BYTES) {
		pool->free = f->next_free;
		return f;
	}
	size = LODE_MAX(size, (uint32_t)SMALL_BYTES);
	f = malloc(sizeof(*f) + size);
	if (f)
		f->size = size;
	return f;
}

void frame_put(struct frame_pool *pool, struct frame *f)
{
	if (f->size > SMALL_BYTES) {
		free(f);
		return;
	}
	f->next_free = pool->free;
	pool->free = f;
}

struct frame *frame_copy(struct frame_pool *pool, const struct frame *f)
{
	struct frame *copy = frame_get(pool, f->len);
	if (!copy)
		return NULL;
	copy->rx_ns = f->rx_ns;
	copy->len = f->len;
	copy->wire_bytes = f->wire_bytes;
	copy->max_bytes = f->max_bytes;
	memcpy(copy->data, f->data, f->len);
	return copy;
}

struct frame_pool *frame_pool_new(void)
{
	struct frame_pool *pool = calloc(1, sizeof(*pool));
	for (int i = 0; pool && i < BURST_MAX; i++) {
		pool->spill[i] = malloc(SPILL_BYTES);
		if (!pool->spill[i]) {
			frame_pool_free(pool);
			return NULL;
		}
	}
	return pool;
}

void frame_pool_free(struct frame_pool *pool)
{
	if (!pool)
		return;
	for (int i = 0; i < BURST_MAX; i++) {
		free(pool->spill[i]);
		free(pool->rx[i]);
	}
	while (pool->free) {
		struct frame *next = pool->free->next_free;
		free(pool->free);
		pool->free = next;
	}
	free(pool);
}

static int set_options(int fd, int ifindex)
{
	int on = 1, buf = SOCKET_BUF_BYTES;
	struct packet_mreq promisc = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)) ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		return -errno;
	/* Best effort: past the limits with CAP_NET_ADMIN. No PACKET_QDISC_BYPASS: it drops every train that the
	 * device cannot segment itself. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buf, sizeof(buf));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buf, sizeof(buf));
	return 0;
}

int iface_open(struct iface *i, struct lode_err *err)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	addr.sll_ifindex = (int)if_nametoindex(i->name);
	if (addr.sll_ifindex == 0)
		return lode_err_set(
			err, -ENODEV, "%s: no such interface in this namespace", i->name);
	/* Protocol 0 until bound: nothing of other interfaces gets in. */
	i->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (i->fd < 0)
		return lode_err_set(
			err, -errno, "packet socket: %s (root is needed)", strerror(errno));
	if (set_options(i->fd, addr.sll_ifindex) ||
		bind(i->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return lode_err_set(err, -errno, "%s: packet socket: %s", i->name, strerror(errno));
	return 0;
}

void iface_close(struct iface *i)
{
	if (i->fd >= 0)
		close(i->fd);
	i->fd = -1;
}

struct ancillary {
	uint64_t real_ns; /* arrival by CLOCK_REALTIME, 0: not told */
	bool vlan;
	uint16_t tci, tpid;
};

static struct ancillary read_ancillary(struct msghdr *msg)
{
	struct ancillary a = {0};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
			struct timespec t;
			memcpy(&t, CMSG_DATA(c), sizeof(t));
			a.real_ns = (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
		} else if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
			struct tpacket_auxdata aux;
			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
			a.vlan = aux.tp_status & TP_STATUS_VLAN_VALID;
			a.tci = aux.tp_vlan_tci;
			a.tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid
									   : ETH_P_8021Q;
		}
	}
	return a;
}

/* The kernel takes 802.1Q tags out of frames: put it back in. */
static void restore_tag(struct frame *f, const struct ancillary *a)
{
	struct virtio_net_hdr *h = (struct virtio_net_hdr *)f->data;
	uint8_t *tag = f->data + VNET_BYTES + 12;
	memmove(tag + VLAN_BYTES, tag, f->len - VNET_BYTES - 12);
	lode_store_be16(tag, a->tpid);
	lode_store_be16(tag + 2, a->tci);
	f->len += VLAN_BYTES;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		h->csum_start = (uint16_t)(h->csum_start + VLAN_BYTES);
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE && h->hdr_len)
		h->hdr_len = (uint16_t)(h->hdr_len + VLAN_BYTES);
}

/* Headers of each packet of a GSO train, Ethernet included; 0 for a plain frame. */
static uint32_t train_header_bytes(const struct frame *f)
{
	const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)f->data;
	unsigned type = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	if (type == VIRTIO_NET_HDR_GSO_NONE || h->gso_size == 0)
		return 0;
	bool tcp = type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;
	uint32_t l4 = h->csum_start, data_off = VNET_BYTES + l4 + 12;
	if (!tcp)
		return l4 + 8;
	return l4 + (data_off < f->len ? (f->data[data_off] >> 4) * 4u : 20);
}

/* What the frame weighs on the link. */
static void weigh(struct frame *f)
{
	uint32_t frame_bytes = f->len - VNET_BYTES, header = train_header_bytes(f);
	f->wire_bytes = f->max_bytes = frame_bytes > ETH_BYTES ? frame_bytes - ETH_BYTES : 0;
	if (header <= ETH_BYTES || header >= frame_bytes)
		return;
	uint32_t size = ((const struct virtio_net_hdr *)f->data)->gso_size;
	uint32_t n = (frame_bytes - header + size - 1) / size;
	f->wire_bytes += (n - 1) * (header - ETH_BYTES);
	f->max_bytes = LODE_MIN(f->max_bytes, size + header - ETH_BYTES);
}

/* Joins what did not fit the small buffer. NULL without memory. */
static struct frame *join_spill(
	struct frame_pool *pool, struct frame *small, const uint8_t *spill, uint32_t len)
{
	struct frame *big = frame_get(pool, len + VLAN_BYTES);
	if (big) {
		uint32_t head = SMALL_BYTES - VLAN_BYTES;
		memcpy(big->data, small->data, head);
		memcpy(big->data + head, spill, len - head);
	}
	frame_put(pool, small);
	return big;
}

static bool refill(struct frame_pool *pool)
{
	for (int i = 0; i < BURST_MAX; i++)
		if (!pool->rx[i] && !(pool->rx[i] = frame_get(pool, SMALL_BYTES)))
			return false;
	return true;
}

unsigned iface_receive(
	struct iface *iface, struct frame_pool *pool, uint64_t now_ns, struct frame **frames)
{
	struct mmsghdr msgs[BURST_MAX];
	struct iovec iov[BURST_MAX][2];
	uint8_t control[BURST_MAX][128];
	if (!refill(pool))
		return 0;
	for (int i = 0; i < BURST_MAX; i++) {
		iov[i][0] = (struct iovec){pool->rx[i]->data, SMALL_BYTES - VLAN_BYTES};
		iov[i][1] = (struct iovec){pool->spill[i], SPILL_BYTES};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = iov[i],
			.msg_iovlen = 2,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i])};
	}
	int n = recvmmsg(iface->fd, msgs, BURST_MAX, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0;
	uint64_t real_to_mono = lode_clock_wall_ns() - lode_clock_ns();
	unsigned n_frames = 0;
	for (int i = 0; i < n; i++) {
		struct frame *f = pool->rx[i];
		uint32_t len = msgs[i].msg_len;
		pool->rx[i] = NULL;
		if (len > SMALL_BYTES - VLAN_BYTES)
			f = join_spill(pool, f, pool->spill[i], len);
		if (!f)
			continue;
		struct ancillary a = read_ancillary(&msgs[i].msg_hdr);
		f->len = len;
		f->rx_ns = a.real_ns ? LODE_MIN(a.real_ns - real_to_mono, now_ns) : now_ns;
		if (a.vlan)
			restore_tag(f, &a);
		weigh(f);
		frames[n_frames++] = f;
	}
	return n_frames;
}

void iface_flush(struct iface *iface, struct frame_pool *pool)
{
	struct mmsghdr msgs[BURST_MAX] = {0};
	struct iovec iov[BURST_MAX];
	for (unsigned i = 0; i < iface->n_tx; i++) {
		iov[i] = (struct iovec){iface->tx[i]->data, iface->tx[i]->len};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (unsigned sent = 0; sent < iface->n_tx;) {
		int n = sendmmsg(iface->fd, msgs + sent, iface->n_tx - sent, MSG_DONTWAIT);
		if (n <=
			0) { /* this frame does not go out: interface down, or larger than its MTU */
			iface->tx_errors++;
			n = 1;
		}
		sent += (unsigned)n;
	}
	for (unsigned i = 0; i < iface->n_tx; i++)
		frame_put(pool, iface->tx[i]);
	iface->n_tx = 0;
}

void iface_send(struct iface *iface, struct frame_pool *pool, struct frame *f)
{
	iface->tx[iface->n_tx++] = f;
	if (iface->n_tx == BURST_MAX)
		iface_flush(iface, pool);
}
