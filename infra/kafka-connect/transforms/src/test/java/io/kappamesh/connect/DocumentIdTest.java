package io.kappamesh.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;
import org.junit.jupiter.api.Test;

/** The inputs are what io.debezium.connector.mongodb.JsonSerialization.getDocumentId of 3.6.1.Final writes. */
class DocumentIdTest {
    @Test
    void anIdIsItsText() {
        assertEquals("596e275826f08b2730779e1f", DocumentId.textOf("{\"$oid\": \"596e275826f08b2730779e1f\"}"));
        assertEquals("a\"b\nü/\u0001", DocumentId.textOf("\"a\\\"b\\nü/\\u0001\""));
        assertEquals("{\"$oid\": \"x\"}", DocumentId.textOf("\"{\\\"$oid\\\": \\\"x\\\"}\""));
        assertEquals("5", DocumentId.textOf("5"));
        assertEquals("5", DocumentId.textOf("5.0"));
        assertEquals("10000000000", DocumentId.textOf("1.0E10"));
        assertEquals("0", DocumentId.textOf("-0.0"));
        assertEquals("1.50", DocumentId.textOf("{\"$numberDecimal\": \"1.50\"}"));
        assertEquals("2023-11-14T22:13:20.123Z", DocumentId.textOf("{\"$date\": \"2023-11-14T22:13:20.123Z\"}"));
        assertEquals("00010203-0405-0607-0809-0a0b0c0d0e0f",
                DocumentId.textOf("{\"$binary\": {\"base64\": \"AAECAwQFBgcICQoLDA0ODw==\",\"subType\": \"04\"}}"));
        assertEquals("aGk=", DocumentId.textOf("{\"$binary\": {\"base64\": \"aGk=\",\"subType\": \"00\"}}"));
        assertEquals("true", DocumentId.textOf("true"));
        assertEquals("null", DocumentId.textOf("null"));
    }

    @Test
    void aDocumentStaysAsItIsWritten() {
        String document = "{\"b\": 1,\"a\": {\"$oid\": \"596e275826f08b2730779e1f\"}}";
        assertEquals(document, DocumentId.textOf(document));
    }

    @Test
    void theTransformReadsItOnlyWhereItIsAskedTo() {
        Schema schema = SchemaBuilder.struct().field("id", Schema.STRING_SCHEMA).build();
        Struct key = new Struct(schema).put("id", "{\"$oid\": \"596e275826f08b2730779e1f\"}");
        SourceRecord record = new SourceRecord(Map.of(), Map.of(), "topic", schema, key, null, "value");
        KeyText<SourceRecord> plain = new KeyText<>();
        plain.configure(Map.of());
        assertEquals("{\"$oid\": \"596e275826f08b2730779e1f\"}", plain.apply(record).key());
        KeyText<SourceRecord> documents = new KeyText<>();
        documents.configure(Map.of("document.id", "true"));
        assertEquals("596e275826f08b2730779e1f", documents.apply(record).key());
    }
}
