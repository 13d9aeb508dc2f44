// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations that send interrupts, and that change their routing.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "busy.h"

/* Sends an MSI to the vCPU of the other operation. */
static void send_msi(struct sweep *sweep)
{
	busy_done(sweep, busy_msi(sweep->stage, !busy_self(sweep), IRQ_MSI));
}

/* Raises and lowers an edge-triggered pin. */
static void pulse_pin(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	kvm_irq_line(busy->vm, BUSY_PIN, 1);
	kvm_irq_line(busy->vm, BUSY_PIN, 0);
}

static void set_ioapic(struct sweep *sweep, unsigned int irq)
{
	struct busy *busy = sweep->stage;

	busy->ioapic.chip.ioapic.redirtbl[BUSY_PIN].fields.vector = VECTOR_FIRST + irq;
	busy_ioctl(sweep, KVM_SET_IRQCHIP, &busy->ioapic);
}

static void change_ioapic(struct sweep *sweep)
{
	set_ioapic(sweep, IRQ_PIN_NEW);
}

static void undo_change_ioapic(struct sweep *sweep)
{
	set_ioapic(sweep, IRQ_PIN);
}

static void change_route(struct sweep *sweep)
{
	busy_done(sweep, busy_route(sweep->stage, IRQ_ROUTED_NEW) ? errno : 0);
}

static void undo_change_route(struct sweep *sweep)
{
	busy_route(sweep->stage, IRQ_ROUTED);
}

static void set_irqfd(struct sweep *sweep, uint32_t flags)
{
	struct busy *busy = sweep->stage;
	struct kvm_irqfd irqfd = {
		.fd = busy->eventfd, .gsi = BUSY_GSI, .flags = flags,
	};

	busy_ioctl(sweep, KVM_IRQFD, &irqfd);
}

static void assign_irqfd(struct sweep *sweep)
{
	set_irqfd(sweep, 0);
}

/* The probe then writes to the eventfd; without an irqfd that causes no interrupt. */
static void prepare_assign_irqfd(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	busy->signals = true;
}

static void prepare_irqfd(struct sweep *sweep)
{
	prepare_assign_irqfd(sweep);
	assign_irqfd(sweep);
}

static void deassign_irqfd(struct sweep *sweep)
{
	set_irqfd(sweep, KVM_IRQFD_FLAG_DEASSIGN);
}

static void signal_eventfd(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;

	if (eventfd_write(busy->eventfd, 1))
		busy_done(sweep, errno);
}

static void set_ioeventfd(struct sweep *sweep, uint32_t flags)
{
	struct busy *busy = sweep->stage;
	struct kvm_ioeventfd ioeventfd = {
		.addr = BUSY_PORT, .len = 1, .fd = busy->eventfd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | flags,
	};

	busy_ioctl(sweep, KVM_IOEVENTFD, &ioeventfd);
}

static void assign_ioeventfd(struct sweep *sweep)
{
	set_ioeventfd(sweep, 0);
}

static void deassign_ioeventfd(struct sweep *sweep)
{
	set_ioeventfd(sweep, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static void observe_ioeventfd(struct sweep *sweep)
{
	struct busy *busy = sweep->stage;
	eventfd_t count = 0;

	eventfd_read(busy->eventfd, &count);
	outcome_add(&sweep->outcome, "accesses that the eventfd got", 0, count);
}

const struct op busy_irq_ops[] = {
	{ .name = "msi", .what = "sends an MSI", .run = send_msi },
	{ .name = "irq-line", .what = "pulses a pin", .run = pulse_pin },
	{ .name = "set-irqchip", .what = "sets the I/O APIC", .run = change_ioapic,
	  .undo = undo_change_ioapic },
	{ .name = "gsi-routing", .what = "sets another route", .run = change_route,
	  .undo = undo_change_route },
	{ .name = "irqfd-assign", .what = "assigns an irqfd",
	  .prepare = prepare_assign_irqfd, .run = assign_irqfd, .undo = deassign_irqfd },
	{ .name = "irqfd-deassign", .what = "takes an irqfd away",
	  .prepare = prepare_irqfd, .run = deassign_irqfd, .undo = deassign_irqfd },
	{ .name = "irqfd-signal", .what = "signals an irqfd", .prepare = prepare_irqfd,
	  .run = signal_eventfd, .undo = deassign_irqfd },
	{ .name = "ioeventfd-assign", .what = "assigns an ioeventfd",
	  .run = assign_ioeventfd, .observe = observe_ioeventfd,
	  .undo = deassign_ioeventfd },
	{ .name = "ioeventfd-deassign", .what = "takes an ioeventfd away",
	  .prepare = assign_ioeventfd, .run = deassign_ioeventfd,
	  .observe = observe_ioeventfd, .undo = deassign_ioeventfd },
	{}
};
