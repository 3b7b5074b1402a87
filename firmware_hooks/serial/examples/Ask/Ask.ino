// Ask what a sentence typed into the serial monitor means. The board is on Serial1 (pins RX1 and TX1), 115200 baud.
// For microcontrollers with two UARTs: Mega, Due, Zero, MKR, Nano Every, ESP32, RP2040, Teensy …

#include <edge_ask.h>

static uint8_t frame[EDGE_FRAME_BUFFER(128)];
static uint8_t message[256];
static edge_link board;

static int readByte(void *) { return Serial1.read(); }
static int writeByte(void *, uint8_t byte) { return Serial1.availableForWrite() > 0 && Serial1.write(byte) == 1; }
static uint32_t milliseconds(void *) { return millis(); }

void setup() {
  Serial.begin(115200);
  Serial1.begin(115200);
  edge_port port = {};
  port.read = readByte;
  port.write = writeByte;
  port.clock = milliseconds;
  edge_settings settings = {};
  settings.frame = frame;
  settings.frame_bytes = sizeof frame;
  settings.message = message;
  settings.message_bytes = sizeof message;
  settings.window = 64 - 11;  // the core's receive buffer holds 64 bytes
  settings.byte_us = EDGE_BYTE_US(115200);
  settings.pause = 5;
  settings.patience = 10000;
  settings.nonce = (uint32_t)analogRead(A0) << 16 ^ micros();
  edge_link_start(&board, &port, &settings);
  Serial.println("Say something:");
}

static void print(const edge_field &field) {
  for (uint16_t i = 0; i < field.length; i++) Serial.write(field.value[i]);
}

static void show() {
  edge_reader reader;
  edge_field field;
  edge_entity entity;
  if (edge_read(&board, &reader) == EDGE_ERROR) Serial.print("error: ");
  while (edge_next(&reader, &field)) {
    if (field.tag == EDGE_F_NAME || field.tag == EDGE_F_MESSAGE) {
      print(field);
      Serial.println();
    } else if (field.tag == EDGE_F_LABEL && edge_read_entity(&field, &entity) && entity.index == EDGE_NO_LABEL) {
      Serial.println("not recognised");
    } else if (field.tag == EDGE_F_ENTITY && edge_read_entity(&field, &entity)) {
      Serial.print("  characters ");
      Serial.print(entity.start);
      Serial.print(" to ");
      Serial.print(entity.end);
      Serial.print(": ");
    }
  }
}

void loop() {
  static char text[100];
  static uint16_t length = 0;
  static bool asking = false;

  switch (edge_link_poll(&board)) {
    case EDGE_REPLY: show(); asking = false; break;
    case EDGE_TIMEOUT: Serial.println("nobody answers"); asking = false; break;
    default: break;
  }
  if (asking) {
    return;  // the text must stay as it is
  }
  int typed = Serial.read();
  if (typed == '\n' && length) {
    edge_ask(&board, EDGE_UNDERSTAND, text, length, EDGE_NAMES);
    asking = true;
    length = 0;
  } else if (typed >= ' ' && length < sizeof text) {
    text[length++] = (char)typed;
  }
}
