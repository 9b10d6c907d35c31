# SPDX-License-Identifier: LGPL-2.1-only
#
# stubdom/witness: a guest of ours, freestanding, so it has flags of its own.
# Parts of it are built for the host too, where tests/unit tests them.

WITNESS     := $(BUILD)/stubdom/witness
WITNESS_DIR := stubdom/witness
WITNESS_SRC := $(wildcard $(WITNESS_DIR)/*.c)
WITNESS_OBJ := $(patsubst $(WITNESS_DIR)/%.c,$(BUILD)/obj/witness/%.o, \
               $(WITNESS_SRC)) $(BUILD)/obj/witness/start.o

# No libc, no SSE state, no red zone below an interrupt's frame.
WITNESS_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie \
    -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
    -fno-strict-aliasing -fno-common -mno-red-zone -mgeneral-regs-only \
    -U_FORTIFY_SOURCE $(WARNINGS) -MMD -MP \
    -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__ -I$(WITNESS_DIR)

.PHONY: witness
ifeq ($(WITNESS_WHY),)
witness: $(WITNESS)
else
witness:
	@echo "  SKIP  stubdom/witness: $(WITNESS_WHY)"
endif
all: witness

$(BUILD)/obj/witness/%.o: $(WITNESS_DIR)/%.c $(BUILD)/.flags config/witness.mk
	$(call say,CC)
	@mkdir -p $(@D)
	$(run)$(CC) $(WITNESS_CFLAGS) -c -o $@ $<
$(BUILD)/obj/witness/%.o: $(WITNESS_DIR)/%.S $(BUILD)/.flags config/witness.mk
	$(call say,AS)
	@mkdir -p $(@D)
	$(run)$(CC) -MMD -MP -I$(WITNESS_DIR) -c -o $@ $<

$(WITNESS): $(WITNESS_OBJ) $(WITNESS_DIR)/witness.lds
	$(call say,LD)
	@mkdir -p $(@D)
	$(run)$(CC) -nostdlib -static -no-pie -Wl,--build-id=none \
	    -Wl,-T,$(WITNESS_DIR)/witness.lds \
	    -o $@ $(WITNESS_OBJ)
