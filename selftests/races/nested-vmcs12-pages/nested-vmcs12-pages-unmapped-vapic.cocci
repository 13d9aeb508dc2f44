// SPDX-License-Identifier: GPL-2.0-only
// Race: nested-vmcs12-pages
// Functions: vmx_guest_apic_has_interrupt vmx_has_nested_events
// Absent: virtual_apic_map: the virtual-APIC page is not looked at through a mapping that stays
// Needs: CONFIG_KVM_INTEL
// Closed-by: mapped: the virtual-APIC page is read only where it is mapped

// The mapping's gfn stays when the page is unmapped, hva does not.
@map@
identifier f = { vmx_guest_apic_has_interrupt, vmx_has_nested_events };
identifier X, P;
@@
f(...)
{
	<+...
(
	P = X->nested.virtual_apic_map.hva;
|
	void *P = X->nested.virtual_apic_map.hva;
)
	...+>
}

@read@
identifier map.P;
position p;
@@
P@p + APIC_PROCPRI

@mapped@
identifier map.f, map.P;
expression R;
position read.p;
@@
f(...)
{
	... when any
	if (!P)
+		/* racefix closed mapped: the page is not read unless it is mapped */
		return false;
	... when != P = R
	P@p + APIC_PROCPRI
	... when any
}

@blind exists@
identifier map.f, map.P;
position read.p;
@@
f(...)
{
	... when != !P
+	/* racefix vulnerable: the page is read without a check that it is mapped */
	P@p + APIC_PROCPRI
	... when any
}
