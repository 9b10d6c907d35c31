/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * start.S: from Xen's PVH entry (32 bit, no paging, %ebx = start info) to
 * witness_main() in 64 bit, and the same for further vCPUs, which start in
 * long mode already.  The first 4 GiB are mapped one to one by tables that are
 * part of the image; map.c adds the rest.
 */
#include "cpu.h"

#define NOTE_GUEST_OS       6
#define NOTE_LOADER         8
#define NOTE_SUSPEND_CANCEL 14
#define NOTE_PHYS32_ENTRY   18

        .macro note_begin type
        .balign 4
        .long 4, 2f - 1f, \type
        .asciz "Xen"
1:
        .endm
        .macro note_end
2:      .balign 4
        .endm

        .section .note.Xen, "a", @note
        note_begin NOTE_GUEST_OS
        .asciz "witness"
        note_end
        note_begin NOTE_LOADER
        .asciz "generic"
        note_end
        note_begin NOTE_SUSPEND_CANCEL
        .long 1
        note_end
        note_begin NOTE_PHYS32_ENTRY
        .long start32
        note_end

#define SEL_CODE 0x08
#define SEL_DATA 0x10

        .section .text.start, "ax"
        .code32
        .global start32
start32:
        cld
        movl    $gdt_pointer, %eax
        lgdt    (%eax)
        movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    $page_map, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       /* EFER */
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax       /* PG */
        movl    %eax, %cr0
        ljmp    $SEL_CODE, $start64

        .code64
start64:
        movl    $SEL_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        leaq    cpu_stacks + CPU_STACK_SIZE(%rip), %rsp
        movl    %ebx, %edi
        call    witness_main
        ud2

/* Xen has set %rsp, and %rdi to the vCPU's number. */
        .global start_further
start_further:
        cld
        lgdt    gdt_pointer(%rip)
        pushq   $SEL_CODE
        leaq    1f(%rip), %rax
        pushq   %rax
        lretq
1:      movl    $SEL_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        call    cpu_further_main
        ud2

        .section .rodata
        .balign 8
gdt:
        .quad   0
        .quad   0x00af9b000000ffff      /* code, 64 bit */
        .quad   0x00cf93000000ffff      /* data */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt

        .data
        .balign 4096
        .global page_map
page_map:
        .quad   page_map_gib + 0x7
        .fill   511, 8, 0
        .global page_map_gib
page_map_gib:
        .set    gib, 0
        .rept   4
        .quad   page_map_2mib + 4096 * gib + 0x7
        .set    gib, gib + 1
        .endr
        .fill   508, 8, 0
page_map_2mib:                          /* present, writable, accessed, dirty, large */
        .set    nr, 0
        .rept   4 * 512
        .quad   (nr << 21) + 0xe7
        .set    nr, nr + 1
        .endr

        .section .note.GNU-stack, "", @progbits
