# What is too slow for .ci/run. PYTHON=… names the interpreter of the development install.
#
#   make board          our image for a Raspberry Pi starts on QEMU's 3B, serves, and switches itself off (apt:
#                       device-tree-compiler)
#   make board-uefi     the image of .ci/run, from its boot partition: UEFI and systemd-boot read it (apt: qemu-efi-aarch64)
#   make power-cuts     30 power cuts of an emulated board while a model is pushed to it

PYTHON ?= python3
BUILD := build/board

.PHONY: board board-uefi power-cuts

board:
	$(PYTHON) -m tests.arm.board $(BUILD)/raspberry-pi.img --board raspberry-pi-3b-plus --cache $(BUILD)/packages
	EDGE_BOARD_IMAGE=$(BUILD)/raspberry-pi.img EDGE_BOARD_MACHINE=raspi3b $(PYTHON) -m pytest -m board -s tests/arm/board

board-uefi:
	$(PYTHON) -m tests.arm.board $(BUILD)/edge.img --cache $(BUILD)/packages
	EDGE_BOARD_IMAGE=$(BUILD)/edge.img EDGE_BOARD_MACHINE=virt-uefi $(PYTHON) -m pytest -m board -s tests/arm/board

power-cuts:
	$(PYTHON) -m tests.arm.board.power_cuts --cuts 30
